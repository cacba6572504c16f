import CLinux
import VirtualFS

// `VirtualFS` values in the kernel's form (linux/fuse.h).

extension larder_fuse_attr {
    init(_ attributes: Attributes) {
        self.init()
        ino = attributes.inode
        size = attributes.size
        blocks = attributes.blocks
        mtime = UInt64(bitPattern: attributes.modifiedSeconds)
        mtimensec = attributes.modifiedNanoseconds
        atime = UInt64(bitPattern: attributes.accessedSeconds)
        atimensec = attributes.accessedNanoseconds
        ctime = UInt64(bitPattern: attributes.changedSeconds)
        ctimensec = attributes.changedNanoseconds
        mode = attributes.mode
        nlink = attributes.linkCount
        uid = attributes.uid
        gid = attributes.gid
        rdev = Self.deviceNumber(major: attributes.deviceMajor, minor: attributes.deviceMinor)
        blksize = 4096
    }

    /// new_encode_dev of linux/kdev_t.h: 12 bits of major, 20 of minor.
    static func deviceNumber(major: UInt32, minor: UInt32) -> UInt32 {
        (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12
    }
}

extension larder_fuse_attr {
    /// new_decode_dev of linux/kdev_t.h.
    static func deviceParts(_ number: UInt32) -> (major: UInt32, minor: UInt32) {
        (number >> 8 & 0xfff, (number & 0xff) | (number >> 12 & 0xfff00))
    }
}

extension larder_fuse_attr_out {
    init(_ entry: Entry) {
        self.init()
        let lifetime = WireLifetime(entry.attributeLifetime)
        attr_valid = lifetime.seconds
        attr_valid_nsec = lifetime.nanoseconds
        attr = larder_fuse_attr(entry.attributes)
    }
}

extension larder_fuse_entry_out {
    /// `number` is what the kernel is to call the node: 0 for an absent name.
    init(_ entry: Entry, number: UInt64) {
        self.init()
        let name = WireLifetime(entry.nameLifetime)
        let attributes = WireLifetime(entry.attributeLifetime)
        nodeid = entry.isAbsent ? 0 : number
        entry_valid = name.seconds
        entry_valid_nsec = name.nanoseconds
        attr_valid = attributes.seconds
        attr_valid_nsec = attributes.nanoseconds
        attr = larder_fuse_attr(entry.attributes)
    }
}

/// A lifetime as the kernel takes it. For ever is 2^31-1 seconds; no time at all where the number makes no sense.
struct WireLifetime: Equatable {
    var seconds: UInt64
    var nanoseconds: UInt32

    init(_ lifetime: Double) {
        guard lifetime > 0 else {
            (seconds, nanoseconds) = (0, 0)
            return
        }
        guard lifetime < Double(Int32.max) else {
            (seconds, nanoseconds) = (UInt64(Int32.max), 0)
            return
        }
        seconds = UInt64(lifetime)
        nanoseconds = min(999_999_999, UInt32((lifetime - lifetime.rounded(.down)) * 1e9))
    }
}
