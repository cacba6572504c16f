import OCI

/// The identity of a cache: `[NAMESPACE/]ID`, and nothing else. BuildKit's default id is the target path, so an id may have
/// slashes anywhere; `team` and `a/b` are the same cache as `team/a` and `b`.
public struct CacheName: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The most bytes that a name may have: a path's.
    public static let limit = 4096
    /// Encoded names longer than this end in a digest, since a file name holds 255 bytes.
    static let encodedLimit = 200

    public let text: String
    /// The name as one component of a path: the directory in the store, and in the mount below `caches/`.
    public let encoded: String

    /// - Returns: nil where `text` is empty, longer than `limit` bytes, or holds a NUL.
    public init?(_ text: String) {
        guard (1...Self.limit).contains(text.utf8.count), !text.utf8.contains(0) else { return nil }
        self.text = text
        encoded = Self.encode(text)
    }

    /// - Parameter namespace: LARDER_CACHE_NS or BUILDKIT_CACHE_MOUNT_NS; empty for none.
    public init?(namespace: String, id: String) {
        guard !id.isEmpty else { return nil }
        self.init(namespace.isEmpty ? id : namespace + "/" + id)
    }

    /// The name that is encoded as `component`. Each name has one encoding: nil for any other spelling, and for the encoding of an
    /// over-long name, which holds a digest in place of its end (`CacheLibrary.name(encoded:)` knows those).
    public init?(encoded component: some Collection<UInt8>) {
        var bytes: [UInt8] = []
        var rest = component[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(Self.value), let low = rest.popFirst().flatMap(Self.value) else { return nil }
            bytes.append(high << 4 | low)
        }
        guard let text = String(validating: bytes, as: UTF8.self), let name = CacheName(text), name.encoded.utf8.elementsEqual(component) else {
            return nil
        }
        self = name
    }

    public var description: String { text }

    /// The order in which caches are locked: that of the encoded names' bytes.
    public static func < (left: CacheName, right: CacheName) -> Bool {
        left.encoded.utf8.lexicographicallyPrecedes(right.encoded.utf8)
    }

    public static func == (left: CacheName, right: CacheName) -> Bool { left.encoded.utf8.elementsEqual(right.encoded.utf8) }
    public func hash(into hasher: inout Hasher) { for byte in encoded.utf8 { hasher.combine(byte) } }
}

extension CacheName {
    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func value(_ digit: UInt8) -> UInt8? { digits.firstIndex(of: digit).map { UInt8($0) } }

    /// `/`, `%`, control bytes and a leading `.` become `%XX`: what is left is a file name that `ls` shows as it is, never
    /// hidden, never `.` or `..`.
    private static func encode(_ text: String) -> String {
        var encoded: [UInt8] = []
        for (position, byte) in text.utf8.enumerated() {
            let isPlain = byte >= 0x20 && byte != 0x7f && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "%")
            if isPlain && !(position == 0 && byte == UInt8(ascii: ".")) {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        guard encoded.count > encodedLimit else { return String(decoding: encoded, as: UTF8.self) }
        // No escape reads `%-`, so no short name has the encoding of a long one. The cut spares escapes and UTF-8 sequences.
        var cut = encodedLimit - 66
        while encoded[cut] & 0xc0 == 0x80 { cut -= 1 }
        if let percent = encoded[..<cut].lastIndex(of: UInt8(ascii: "%")), cut - percent < 3 { cut = percent }
        return String(decoding: encoded[..<cut], as: UTF8.self) + "%-" + Digest(of: Array(text.utf8)).hex
    }
}

extension CacheName: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let name = CacheName(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no name of a cache")
        }
        self = name
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
