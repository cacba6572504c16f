import OCI

/// Where the manifests and blobs of one repository come from: a registry, or an OCI layout on disk.
///
/// Every call can be cancelled at once and then throws `RemoteError.Kind.cancelled`.
public protocol BlobSource: Sendable {
    /// For logs and messages; holds no credentials.
    var name: String { get }

    /// Whether a part of a blob costs less than the whole. False once a registry was seen to ignore `Range`.
    var servesRanges: Bool { get }

    /// Fetches the manifest or index a tag or digest stands for now. At most `ManifestDocument.sizeLimit` bytes; where a
    /// digest was asked for or the registry names one, the bytes are proven to have it.
    func resolve(_ selector: Reference.Selector) async throws(RemoteError) -> FetchedManifest

    /// Fetches the manifest or index with this descriptor; size and digest are proven.
    func manifest(_ descriptor: Descriptor) async throws(RemoteError) -> [UInt8]

    /// Opens a blob, or the part `range` (bytes) of it. The stream yields exactly those bytes or throws.
    ///
    /// Nothing is compared with the digest, because a part has none: whoever reads must verify before anybody sees it.
    func blob(_ descriptor: Descriptor, range: Range<UInt64>?) async throws(RemoteError) -> BlobStream
}

/// A manifest or index as it was fetched: exact bytes, and the descriptor that fits them.
public struct FetchedManifest: Sendable {
    public let descriptor: Descriptor
    public let bytes: [UInt8]

    public init(descriptor: Descriptor, bytes: [UInt8]) {
        self.descriptor = descriptor
        self.bytes = bytes
    }
}
