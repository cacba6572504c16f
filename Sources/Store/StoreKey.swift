import OCI

/// Names one immutable object of the store.
public enum StoreKey: Hashable, Sendable {
    /// A blob by the digest of its bytes.
    case blob(Digest)
    /// The index of a layer or snapshot. The key is not the digest of the index.
    case tree(Digest)
    /// Span `number` of the layer with this content key.
    case span(Digest, UInt32)
    /// A whole large file by the digest of its content.
    case object(Digest)

    /// Path below the store.
    public var path: String {
        switch self {
        case .blob(let digest): "\(StoreLayout.blobs)/\(digest.hex)"
        case .tree(let key): "\(StoreLayout.trees)/\(key.hex).index"
        case .span(let contentKey, let number): "\(StoreLayout.spans)/\(contentKey.hex)/\(number)"
        case .object(let digest): "\(StoreLayout.objects)/\(digest.hex)"
        }
    }

    /// The number a span's file name stands for; nil for any other spelling, such as `07`.
    static func spanNumber(_ name: String) -> UInt32? {
        guard let number = UInt32(name), String(number) == name else { return nil }
        return number
    }
}

extension StoreKey: CustomStringConvertible {
    public var description: String {
        switch self {
        case .blob(let digest): "blob \(digest)"
        case .tree(let key): "index of tree \(key)"
        case .span(let contentKey, let number): "span \(number) of \(contentKey)"
        case .object(let digest): "file \(digest)"
        }
    }
}
