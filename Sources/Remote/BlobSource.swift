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

    /// Manifests that name `subject` as theirs and are of one of these kinds (`ImageManifest.kind`); those added last come
    /// last, as far as the source keeps an order.
    /// - Parameter retries: how often to ask again where nobody answers, within what is configured.
    func referrers(of subject: Digest, kinds: Set<String>, retries: Int) async throws(RemoteError) -> [Descriptor]

    /// Puts a blob there. False where it was there already.
    @discardableResult
    func push(blob bytes: [UInt8]) async throws(RemoteError) -> Bool

    /// Puts a manifest there, by its digest, whose blobs are there. One with a subject is found by `referrers` from then on.
    func push(manifest: ImageManifest) async throws(RemoteError) -> Descriptor

    /// Removes a manifest that names `subject`, so that `referrers` finds it no more.
    func delete(referrer: Digest, of subject: Digest) async throws(RemoteError)
}

extension BlobSource {
    /// Asked once and not again: nobody should wait long for what may not be.
    public func referrers(of subject: Digest, kinds: Set<String>) async throws(RemoteError) -> [Descriptor] {
        try await referrers(of: subject, kinds: kinds, retries: 0)
    }
}

/// A source that can only be read.
extension BlobSource {
    public func referrers(of subject: Digest, kinds: Set<String>, retries: Int) async throws(RemoteError) -> [Descriptor] { [] }
    public func push(blob bytes: [UInt8]) async throws(RemoteError) -> Bool { throw RemoteError(.configuration, name, "nothing can be written to it") }
    public func push(manifest: ImageManifest) async throws(RemoteError) -> Descriptor { throw RemoteError(.configuration, name, "nothing can be written to it") }
    public func delete(referrer: Digest, of subject: Digest) async throws(RemoteError) { throw RemoteError(.configuration, name, "nothing can be removed from it") }
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
