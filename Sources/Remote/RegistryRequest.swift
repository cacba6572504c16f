/// What is asked of a registry: `GET /v2/REPOSITORY/PLACE` (distribution-spec).
struct RegistryRequest: Sendable, Hashable {
    let repository: String
    /// Such as `blobs/sha256:...` or `manifests/latest`.
    let place: String
    var accept: [String] = []
    /// Bytes of the answer that are wanted.
    var range: Range<UInt64>?
    /// Whether a redirect may be used again for the same place: true for blobs, which never change.
    var remembersRedirect = false
}
