/// The media types of image-spec and of Docker's schema 2 that Larder reads.
public enum MediaType {
    public static let manifest = "application/vnd.oci.image.manifest.v1+json"
    public static let index = "application/vnd.oci.image.index.v1+json"
    public static let config = "application/vnd.oci.image.config.v1+json"
    /// Of the two bytes `{}`: the config of an artifact that has none (image-spec manifest.md).
    public static let empty = "application/vnd.oci.empty.v1+json"
    public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    public static let dockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json"
    public static let dockerConfig = "application/vnd.docker.container.image.v1+json"

    /// What a client that wants an image accepts, in the `Accept` header.
    public static let acceptedManifests = [manifest, index, dockerManifest, dockerIndex]

    public static func isManifest(_ type: String) -> Bool { type == manifest || type == dockerManifest }
    public static func isIndex(_ type: String) -> Bool { type == index || type == dockerIndex }

    /// Whether a layer of this type is a file tree. The compression is *not* told from it: the bytes themselves say that.
    public static func isLayer(_ type: String) -> Bool {
        type.hasPrefix("application/vnd.oci.image.layer.v1.tar") || type.hasPrefix("application/vnd.oci.image.layer.nondistributable.v1.tar")
            || type.hasPrefix("application/vnd.docker.image.rootfs.diff.tar") || type.hasPrefix("application/vnd.docker.image.rootfs.foreign.diff.tar")
    }
}
