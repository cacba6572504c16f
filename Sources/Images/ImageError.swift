import OCI
import Store

/// What went wrong with an image, named so that a log line or a terminal says what to do.
public enum ImageError: Error, Sendable, CustomStringConvertible {
    case unknownReference(Reference)
    case unknownLayer(Digest)
    case unknownBlob(Digest)
    /// Documents that contradict each other.
    case inconsistent(Reference, String)
    case noPlatform(Reference, wanted: Platform, offered: [Platform])
    case blob(Descriptor, String)
    /// A part of a blob is not what the layer's table of contents says.
    case brokenPromise(Descriptor, String)
    /// The bytes hash to something else than what names them.
    case wrongDigest(of: String, expected: Digest, found: Digest)
    case badDocument(String, ManifestError)
    /// An object of the store has fewer bytes than it must.
    case cutShort(StoreKey)
    /// A node number that a tree does not have: from an outdated or forged file handle.
    case unknownNode(UInt32, Digest)
    /// An index that was just written cannot be used.
    case unusableIndex(Digest)
    /// No layer of an image needs an index, and it has no profile.
    case nothingToIndex(Reference)

    public var description: String {
        switch self {
        case .unknownReference(let reference): "\(reference): the store does not know it; see larder image ls"
        case .unknownLayer(let digest): "layer \(digest): no known image has it; look at an image that does first"
        case .unknownBlob(let digest): "blob \(digest): neither in the store nor part of a known image"
        case .inconsistent(let reference, let reason): "\(reference): \(reason)"
        case .noPlatform(let reference, let wanted, let offered):
            "\(reference): no image for \(wanted)\(offered.isEmpty ? "" : "; there is \(offered.map(\.description).joined(separator: ", "))"); choose with --platform"
        case .blob(let descriptor, let reason), .brokenPromise(let descriptor, let reason): "blob \(descriptor.digest): \(reason)"
        case .wrongDigest(let what, let expected, let found): "\(what): the bytes hash to \(found), not to \(expected); nothing of them was kept"
        case .badDocument(let what, let error): "\(what): \(error)"
        case .cutShort(let key): "\(key) in the store is cut short; run larder verify --repair"
        case .unknownNode(let ordinal, let tree): "tree \(tree): it has no node \(ordinal)"
        case .unusableIndex(let key): "the index \(key) in the store cannot be used; run larder verify --repair"
        case .nothingToIndex(let reference): "\(reference): its layers need no index or can have none, and it has no access profile; there is nothing to push"
        }
    }
}
