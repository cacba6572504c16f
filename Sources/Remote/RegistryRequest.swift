import NIOCore
import NIOHTTP1

/// What is asked of a registry: `METHOD /v2/REPOSITORY/PLACE` (distribution-spec).
struct RegistryRequest: Sendable {
    let repository: String
    /// Such as `blobs/sha256:...` or `manifests/latest`.
    let place: String
    var method = HTTPMethod.GET
    /// Where an earlier answer said to go on, in place of `place`: an upload has an address of its own.
    var address: Address?
    var accept: [String] = []
    /// Bytes of the answer that are wanted.
    var range: Range<UInt64>?
    var body: Body?
    /// Whether a redirect may be used again for the same place: true for blobs, which never change.
    var remembersRedirect = false

    struct Body: Sendable {
        let bytes: ByteBuffer
        let mediaType: String
        /// The entity tag of what this replaces; the server refuses (412) where it has changed.
        var replaces: String?
    }

    /// Whether the registry is asked for the right to write.
    var access: Access { method == .GET || method == .HEAD ? .pull : .push }
}

/// What a login is needed for. A token that may push is asked for only by who pushes.
enum Access: String, Sendable, Hashable {
    case pull = "pull"
    case push = "pull,push"
}
