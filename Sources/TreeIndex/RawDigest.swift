import OCI

/// The 32 bytes of a sha256 in an index record; all zero means that the digest is not known.
struct RawDigest: Sendable, Equatable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    init() {}

    init(_ digest: Digest?) {
        guard let digest else { return }
        let bytes = digest.bytes
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
    }

    var digest: Digest? {
        isZero ? nil : withUnsafeBytes(of: words) { Digest(bytes: $0) }
    }

    var isZero: Bool { words == (0, 0, 0, 0) }

    static func == (left: RawDigest, right: RawDigest) -> Bool { left.words == right.words }
}
