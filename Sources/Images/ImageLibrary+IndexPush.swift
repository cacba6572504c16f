import Archive
import OCI
import Remote
import Store
import TreeIndex

/// In which form an image's indexes are put into its registry.
public enum IndexForm: String, Sendable, CaseIterable {
    /// Larder's own, with the access profile.
    case larder
    /// SOCI's first version, for fleets that have soci-snapshotter.
    case soci

    /// What the artifact is among the referrers of the image.
    var artifactType: String {
        switch self {
        case .larder: IndexArtifact.type
        case .soci: SOCIManifest.firstType
        }
    }
}

/// An artifact with indexes, beside its image.
public struct IndexReport: Sendable, Encodable {
    public struct Layer: Sendable, Encodable {
        public var layer: Digest
        public var digest: Digest
        /// Bytes of the index as it is in the registry.
        public var size: UInt64
    }

    public struct Omission: Sendable, Encodable {
        public var layer: Digest
        public var reason: String
    }

    public var reference: String
    /// Of the image's manifest.
    public var image: Digest
    /// Of the artifact.
    public var digest: Digest
    public var format: String
    public var layers: [Layer] = []
    /// Layers that need no index, or can have none.
    public var omitted: [Omission] = []
    /// Bytes of the access profile; nil where there is none.
    public var profile: UInt64?
}

extension ImageLibrary {
    /// Puts indexes of the image's layers beside it in its registry, and its access profile. Layers that were never read are
    /// read now, whole, because what others shall rely on must be proven here.
    ///
    /// - Throws: `ImageError.nothingToIndex`, and what reading and writing the registry throw.
    public func pushIndexes(of image: Image, as form: IndexForm, profile includesProfile: Bool) async throws -> IndexReport {
        let source = try remote.source(for: image.reference.repository)
        let subject = image.manifestDescriptor
        var report = IndexReport(reference: image.reference.description, image: subject.digest, digest: subject.digest, format: form.rawValue)
        var documents: [(layer: ImageLayer, bytes: [UInt8], size: UInt64)] = []
        for layer in image.layers where !documents.contains(where: { $0.layer.descriptor.digest == layer.descriptor.digest }) {
            switch try await document(of: layer, form) {
            case .document(let bytes, let size): documents.append((layer, bytes, size))
            case .omitted(let reason): report.omitted.append(.init(layer: layer.descriptor.digest, reason: reason))
            }
        }
        let profile = includesProfile && form == .larder ? try await blocking { try self.profileBytes(of: image) } : nil
        guard !documents.isEmpty || profile != nil else { throw ImageError.nothingToIndex(image.reference) }

        try await withThrowingTaskGroup(of: Void.self) { group in
            for bytes in documents.map(\.bytes) + [IndexArtifact.config] + (profile.map { [$0] } ?? []) { group.addTask { try await source.push(blob: bytes) } }
            try await group.waitForAll()
        }
        let manifest: ImageManifest
        switch form {
        case .larder:
            let indexes = documents.map { IndexArtifact.Index(layer: $0.layer.descriptor.digest, digest: Digest(of: $0.bytes), packedSize: UInt64($0.bytes.count), size: $0.size) }
            let descriptor = profile.map { Descriptor(mediaType: IndexArtifact.profileType, digest: Digest(of: $0), size: UInt64($0.count)) }
            manifest = IndexArtifact(indexes: indexes, profile: descriptor).manifest(of: image)
        case .soci:
            let bytes = try SOCIManifest.encode(
                subject: subject, ztocs: documents.map { ($0.layer.descriptor, Digest(of: $0.bytes), UInt64($0.bytes.count)) },
                spanSize: ZTOC.spanSize, buildTool: SOCIIndex.buildTool)
            guard case .manifest(let decoded) = try ManifestDocument(decoding: bytes, mediaType: MediaType.manifest) else { throw ImageError.nothingToIndex(image.reference) }
            manifest = decoded
        }
        report.digest = try await source.push(manifest: manifest).digest
        report.layers = documents.map { .init(layer: $0.layer.descriptor.digest, digest: Digest(of: $0.bytes), size: UInt64($0.bytes.count)) }
        report.profile = profile.map { UInt64($0.count) }
        offerTable.forget(OfferTable.Key(image))
        return report
    }

    private enum Outcome {
        case document([UInt8], size: UInt64)
        case omitted(String)
    }

    private func document(of layer: ImageLayer, _ form: IndexForm) async throws -> Outcome {
        guard layer.descriptor.size >= options.smallestIndexedLayer else { return .omitted("it is so small that it is read whole") }
        if form == .soci {
            do {
                let bytes = try await ztoc(of: layer)
                return .document(bytes, size: UInt64(bytes.count))
            } catch let error as ArchiveError where error.reason == .unsupported {
                return .omitted("\(error)")
            }
        }
        if LayerTable(layer.descriptor) != nil { return .omitted("it has a table of contents of its own") }
        let tree = try await provenTree(of: layer)
        guard tree.format == .tar || tree.view.hasStarts else { return .omitted("a layer of format \(tree.format.name) that was packed in one piece cannot be read in parts") }
        return try await unpackers.runIfActive {
            // As every store that reads the layer makes it, whoever this one has it from.
            let index = tree.index.rekeyed(contentKey: LayerUnpacker.contentKey(of: layer.descriptor.digest), diffID: layer.diffID)
            return .document(try index.withUnsafeBytes { try ZstdDocument.pack($0) }, size: UInt64(index.count))
        }
    }

    /// The layer's tree, proven by this store.
    private func provenTree(of layer: ImageLayer) async throws -> LayerTree {
        if let tree = try await blocking({ try self.sealedTree(of: layer) }) { return tree }
        let lease = try await store.exclusive("layer-\(layer.descriptor.digest.hex)")
        defer { _ = lease }
        if let tree = try await blocking({ try self.sealedTree(of: layer) }) { return tree }
        return try await stream(layer)
    }

    /// The artifacts with indexes that are beside the image now, whoever has put them there.
    public func indexes(of image: Image) async throws -> [IndexReport] {
        let source = try remote.source(for: image.reference.repository)
        let subject = image.manifestDescriptor.digest
        var reports: [IndexReport] = []
        let kinds = Set(IndexForm.allCases.map(\.artifactType))
        // A mount can do without and asks once. Here they are what was asked for.
        for descriptor in try await source.referrers(of: subject, kinds: kinds, retries: 1) {
            let form = descriptor.artifactType == IndexArtifact.type ? IndexForm.larder : .soci
            var report = IndexReport(reference: image.reference.description, image: subject, digest: descriptor.digest, format: form.rawValue)
            let bytes = try await source.manifest(descriptor)
            switch form {
            case .larder:
                let artifact = try IndexArtifact(decoding: bytes, subject: subject)
                report.layers = artifact.indexes.map { .init(layer: $0.layer, digest: $0.blob.digest, size: $0.blob.size) }
                report.profile = artifact.profile?.size
            case .soci:
                let ztocs = try SOCIManifest(decoding: bytes).ztocs
                report.layers = image.layers.compactMap { layer in ztocs[layer.descriptor.digest].map { .init(layer: layer.descriptor.digest, digest: $0.digest, size: $0.size) } }
            }
            reports.append(report)
        }
        return reports
    }

    /// Removes an artifact with indexes from the image's registry. What stores have adopted of it stays.
    public func removeIndex(_ digest: Digest, of image: Image) async throws {
        let source = try remote.source(for: image.reference.repository)
        try await source.delete(referrer: digest, of: image.manifestDescriptor.digest)
        offerTable.forget(OfferTable.Key(image))
    }
}
