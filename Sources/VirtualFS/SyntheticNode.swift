import OCI

/// A node that is no file of any image: the directories, links and documents that Larder itself makes.
/// The value is the node's identity: equal values share one node id as long as the kernel knows it.
enum SyntheticNode: Hashable, Sendable {
    case root
    case readme
    case status
    case metrics

    case images
    /// `images/HOST/a/b`: everything above a reference. The path is below `images`, without a leading slash.
    case repositories(path: String)
    /// `images/HOST/a/b:TAG`, under the name it was looked up by. A tag that moves is another node.
    case image(path: String, manifest: Digest)
    case imageDocument(path: String, manifest: Digest, ImageDocument)
    case imageLayers(path: String, manifest: Digest)
    case imageLayer(path: String, manifest: Digest, position: Int)

    case caches
    case leases
    /// `leases/TOKEN`, as long as it is held.
    case lease(token: String)
    case leaseHolder(token: String)

    case collection(Collection)
    case algorithm(Collection)
    /// `blobs/sha256/HEX`; the size in bytes is known before the content is here.
    case blob(Digest, size: UInt64)

    enum ImageDocument: String, Hashable, Sendable, CaseIterable {
        case manifest = "manifest.json"
        case config = "config.json"
        case index = "index.json"
        case status = "status.json"
    }

    /// What is found by digest: `layers/sha256/HEX` and its like.
    enum Collection: String, Hashable, Sendable, CaseIterable {
        case layers, snapshots, blobs
    }

    enum Shape: Sendable { case directory, file, symlink }

    var shape: Shape {
        switch self {
        case .root, .images, .repositories, .image, .imageLayers, .caches, .leases, .lease, .collection, .algorithm: .directory
        case .readme, .status, .metrics, .imageDocument, .leaseHolder, .blob: .file
        case .imageLayer: .symlink
        }
    }

    /// Whether the content is made anew at every open, so that its size is not known before.
    var isLive: Bool {
        switch self {
        case .status, .metrics, .imageDocument(_, _, .status), .leaseHolder: true
        default: false
        }
    }

    /// The nodes that always exist keep the same ordinals for ever; `root` comes first.
    static let permanent: [SyntheticNode] =
        [.root, .readme, .status, .metrics, .images, .caches, .leases] + Collection.allCases.map { .collection($0) } + Collection.allCases.map { .algorithm($0) }
}
