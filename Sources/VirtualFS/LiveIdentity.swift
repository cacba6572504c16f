import CLinux

/// What an object of the disk below is, whatever its names: its file handle (inode and generation), or where handles do
/// not serve, its inode number with its type and time of birth. Four words, compared as such.
struct LiveIdentity: Hashable, Sendable {
    let first, second, third, fourth: UInt64

    init(_ handle: larder_handle) {
        (first, second, third) = handle.words
        fourth = UInt64(handle.length) << 32 | UInt64(UInt32(bitPattern: handle.type))
    }

    /// A number that the disk gives to a new file while the kernel still knows the old one differs in time of birth.
    init(_ object: larder_object) {
        first = object.inode
        second = UInt64(bitPattern: object.born)
        third = UInt64(object.filesystem_major) << 32 | UInt64(object.filesystem_minor)
        fourth = UInt64(object.mode & 0o170000) << 32 | UInt64(object.born_ns)
    }

    /// - Precondition: it was made from one.
    var handle: larder_handle {
        larder_handle(words: (first, second, third), length: UInt32(truncatingIfNeeded: fourth >> 32), type: Int32(truncatingIfNeeded: fourth))
    }

    /// Spread over all 64 bits: the low ones choose a bucket, the high ones a shard.
    var mixed: UInt64 {
        var value = first ^ (second &* 0x9e37_79b9_7f4a_7c15) ^ (third &* 0xc2b2_ae3d_27d4_eb4f) ^ (fourth &* 0x1656_67b1_9e37_79f9)
        value = (value ^ (value >> 32)) &* 0xd6e8_feb8_6659_fd93
        value = (value ^ (value >> 32)) &* 0xd6e8_feb8_6659_fd93
        return value ^ (value >> 32)
    }
}
