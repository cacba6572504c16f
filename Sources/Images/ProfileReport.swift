import OCI

/// An access profile for people: how much of an image it is about.
public struct ProfileReport: Sendable, Encodable {
    public struct Layer: Sendable, Encodable {
        public var digest: Digest
        /// Bytes of content that were touched, and of content in all.
        public var bytes: UInt64
        public var contentBytes: UInt64
        /// Spans that hold what was touched, and in all; absent where the layer has no index here.
        public var spans: Int?
        public var spansInAll: Int?
        /// Compressed bytes of those spans.
        public var sourceBytes: UInt64?
    }

    public var reference: String
    /// Of the image's manifest.
    public var digest: Digest
    public var origin: AccessProfile.Origin
    public var created: String?
    public var seconds: Double
    public var files: Int
    /// Bytes of content that were touched, in blocks of 64 KiB, and of content in all layers that were.
    public var bytes: UInt64
    public var contentBytes: UInt64
    /// Lowest first, those alone that were touched.
    public var layers: [Layer]
}

extension ImageLibrary {
    /// What the image's profile says; nil where it has none. Nothing is fetched.
    public func profileReport(of image: Image) throws -> ProfileReport? {
        guard let profile = try profile(of: image) else { return nil }
        let layers = try image.layers.enumerated().compactMap { number, layer -> ProfileReport.Layer? in
            guard let place = profile.layers.firstIndex(where: { $0.digest == layer.descriptor.digest }),
                image.layers.firstIndex(where: { $0.descriptor.digest == layer.descriptor.digest }) == number
            else { return nil }
            let touches = profile.touches.filter { $0.layer == place }
            var report = ProfileReport.Layer(
                digest: layer.descriptor.digest, bytes: touches.reduce(0) { $0 &+ $1.length }, contentBytes: profile.layers[place].contentBytes)
            if let tree = try storedTree(of: layer), AccessProfile.Layer(tree).hasContent(of: profile.layers[place]) {
                var spans: Set<Int> = []
                for touch in touches { spans.formUnion(tree.view.spanNumbers(in: touch.offset..<touch.offset + touch.length)) }
                report.spans = spans.count
                report.spansInAll = tree.view.spanCount
                report.sourceBytes = spans.reduce(0) { $0 + tree.view.span($1).sourceLength }
            }
            return report
        }
        return ProfileReport(
            reference: image.reference.description, digest: image.manifestDescriptor.digest, origin: profile.origin, created: profile.created, seconds: profile.seconds,
            files: profile.files, bytes: profile.bytes, contentBytes: profile.layers.reduce(0) { $0 &+ $1.contentBytes }, layers: layers
        )
    }
}
