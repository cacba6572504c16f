import OCI

/// One member of a layer that a test makes.
public struct TarMember: Sendable {
    public enum Kind: Character, Sendable {
        case file = "0"
        case hardLink = "1"
        case symlink = "2"
        case directory = "5"
    }

    /// Bytes, at most 100; of a directory with or without a closing slash.
    public var name: [UInt8]
    public var kind: Kind
    public var content: [UInt8]
    public var target: [UInt8]
    public var mode: Int
    public var modified: Int
    public var attributes: [(name: String, value: [UInt8])] = []

    private init(_ name: [UInt8], _ kind: Kind, content: [UInt8] = [], target: [UInt8] = [], mode: Int) {
        self.name = name
        self.kind = kind
        self.content = content
        self.target = target
        self.mode = mode
        modified = 1_600_000_000
    }

    public static func file(_ name: String, _ content: [UInt8], mode: Int = 0o644) -> Self { Self(Array(name.utf8), .file, content: content, mode: mode) }
    public static func file(_ name: String, _ text: String) -> Self { file(name, Array(text.utf8)) }
    public static func file(bytes name: [UInt8], _ content: [UInt8]) -> Self { Self(name, .file, content: content, mode: 0o644) }
    public static func directory(_ name: String, mode: Int = 0o755) -> Self { Self(Array(name.utf8), .directory, mode: mode) }
    public static func symlink(_ name: String, to target: String) -> Self { Self(Array(name.utf8), .symlink, target: Array(target.utf8), mode: 0o777) }
    public static func hardLink(_ name: String, to target: String) -> Self { Self(Array(name.utf8), .hardLink, target: Array(target.utf8), mode: 0o644) }

    public func with(attribute name: String, _ value: [UInt8]) -> Self {
        var member = self
        member.attributes.append((name, value))
        return member
    }

    /// The header blocks of the member.
    var header: [UInt8] {
        guard !attributes.isEmpty else { return block(kind.rawValue, name, size: content.count) }
        let records = attributes.flatMap { Self.record("SCHILY.xattr.\($0.name)", $0.value) }
        return block("x", Array("pax".utf8), size: records.count) + Self.padded(records) + block(kind.rawValue, name, size: content.count)
    }

    static func padded(_ bytes: [UInt8]) -> [UInt8] { bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512) }

    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let body = Array(" \(key)=".utf8) + value + [UInt8(ascii: "\n")]
        var length = body.count + 1
        while String(length).utf8.count + body.count != length { length += 1 }
        return Array(String(length).utf8) + body
    }

    private func block(_ type: Character, _ name: [UInt8], size: Int) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ bytes: [UInt8], _ offset: Int) { block.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
        func octal(_ value: Int, _ width: Int) -> [UInt8] {
            let digits = String(value, radix: 8)
            return Array((String(repeating: "0", count: width - 1 - digits.utf8.count) + digits).utf8)
        }
        put(name, 0)
        put(octal(mode, 8), 100)
        put(octal(0, 8), 108)
        put(octal(0, 8), 116)
        put(octal(size, 12), 124)
        put(octal(modified, 12), 136)
        put([UInt8](repeating: 0x20, count: 8), 148)
        put([type.asciiValue ?? 0], 156)
        put(target, 157)
        put(Array("ustar\0".utf8) + Array("00".utf8), 257)
        put(octal(block.reduce(0) { $0 + Int($1) }, 7), 148)
        block[154] = 0
        return block
    }
}

extension [TarMember] {
    /// The members as a tar archive with its two closing blocks.
    public var tar: [UInt8] {
        flatMap { $0.header + TarMember.padded($0.content) } + [UInt8](repeating: 0, count: 1024)
    }
}
