/// One 512-byte tar header block, taken apart: the fields of POSIX.1-1988 (ustar) and what dialects put in their place.
struct TarHeader {
    enum Dialect {
        case v7, ustar, star, gnu
    }

    static let blockSize = 512

    let dialect: Dialect
    let type: UInt8
    var path: [UInt8]
    var linkTarget: [UInt8]
    let mode: Int64
    let uid: Int64
    let gid: Int64
    /// Bytes of data after the header, as the block itself says.
    let size: Int64
    let modified: Int64
    let deviceMajor: Int64
    let deviceMinor: Int64

    /// nil where the checksum does not fit: then this is no tar header.
    init?(_ block: UnsafeRawBufferPointer) throws(ArchiveError) {
        guard Self.checksumFits(block) else { return nil }
        dialect = Self.dialect(of: block)
        type = block[156]
        var name = Self.string(block, 0, 100)
        mode = try Self.number(block, 100, 8, "mode")
        uid = try Self.number(block, 108, 8, "uid")
        gid = try Self.number(block, 116, 8, "gid")
        size = try Self.number(block, 124, 12, "size")
        modified = try Self.number(block, 136, 12, "mtime")
        linkTarget = Self.string(block, 157, 100)
        guard dialect != .v7 else {
            deviceMajor = 0
            deviceMinor = 0
            path = name
            return
        }
        deviceMajor = try Self.number(block, 329, 8, "devmajor")
        deviceMinor = try Self.number(block, 337, 8, "devminor")
        let prefix: [UInt8] = switch dialect {
        case .ustar: Self.string(block, 345, 155)
        // star keeps access and change time in the last 24 bytes of the prefix.
        case .star: Self.string(block, 345, 131)
        case .gnu: Self.misplacedPrefix(block)
        case .v7: []
        }
        if !prefix.isEmpty { name = prefix + [UInt8(ascii: "/")] + name }
        path = name
    }

    static func isZero(_ block: UnsafeRawBufferPointer) -> Bool { block.allSatisfy { $0 == 0 } }

    /// The field as bytes, up to its first NUL.
    static func string(_ block: UnsafeRawBufferPointer, _ offset: Int, _ length: Int) -> [UInt8] {
        let field = block[offset..<offset + length]
        return Array(field[..<(field.firstIndex(of: 0) ?? field.endIndex)])
    }

    static func number(_ block: UnsafeRawBufferPointer, _ offset: Int, _ length: Int, _ name: StaticString) throws(ArchiveError) -> Int64 {
        guard let value = TarNumber.field(UnsafeRawBufferPointer(rebasing: block[offset..<offset + length])) else {
            throw ArchiveError(.malformed, "the header field \(name) is not a number")
        }
        return value
    }

    /// The sum of all bytes, the checksum field itself counted as spaces. Some old archivers summed signed characters.
    private static func checksumFits(_ block: UnsafeRawBufferPointer) -> Bool {
        guard let stated = TarNumber.field(UnsafeRawBufferPointer(rebasing: block[148..<156])) else { return false }
        var unsigned: Int64 = 8 * 0x20
        var signed: Int64 = 8 * 0x20
        for part in [block[..<148], block[156...]] {
            for byte in part {
                unsigned += Int64(byte)
                signed += Int64(Int8(bitPattern: byte))
            }
        }
        return stated == unsigned || stated == signed
    }

    private static func dialect(of block: UnsafeRawBufferPointer) -> Dialect {
        let magic = block[257..<265]
        if magic.elementsEqual("ustar  \0".utf8) { return .gnu }
        guard magic.prefix(6).elementsEqual("ustar\0".utf8) else { return .v7 }
        return block[508..<512].elementsEqual("tar\0".utf8) ? .star : .ustar
    }

    /// Go before 1.8 wrote a ustar prefix into GNU headers, over the fields of access and change time. As Go itself
    /// still does, take it for a prefix when those are no times and it is ASCII.
    private static func misplacedPrefix(_ block: UnsafeRawBufferPointer) -> [UInt8] {
        let times = [345..<357, 357..<369].map { UnsafeRawBufferPointer(rebasing: block[$0]) }
        guard times.contains(where: { $0[0] != 0 && TarNumber.field($0) == nil }) else { return [] }
        let prefix = string(block, 345, 155)
        return prefix.allSatisfy { $0 < 0x80 } ? prefix : []
    }
}
