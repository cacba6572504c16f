import OCI
import Remote
import Store

/// Finding what a registry has beside an image. Nothing here may keep an image from being read: where nobody answers, or with
/// nonsense, layers are streamed as if there were nothing.
extension ImageLibrary {
    /// Manifests of one kind that are looked into.
    private static let artifactLimit = 3

    /// Indexes of this layer that the images with it have beside them; the best first.
    func offers(for layer: ImageLayer) async -> [(image: Image, offer: IndexOffer)] {
        let images = catalog.withLock { catalog in
            catalog.images.values.filter { $0.reference.repository == layer.repository && $0.layers.contains(layer) }
        }
        var found: [(Image, IndexOffer)] = []
        for image in images.prefix(Self.artifactLimit) {
            found += (await offers(beside: image).indexes[layer.descriptor.digest] ?? []).map { (image, $0) }
            if !found.isEmpty { break }
        }
        return found
    }

    /// What is beside an image, asked for once.
    func offers(beside image: Image) async -> IndexOffers {
        guard options.indexTrust == .registry else { return IndexOffers() }
        let key = OfferTable.Key(image)
        if let known = offerTable[key] { return known }
        let found = try? await offerTable.flights.run(key) {
            if let known = self.offerTable[key] { return known }
            let offers: IndexOffers
            do {
                offers = try await within(self.options.revalidationLimit) { try await self.discover(image) }
            } catch {
                self.logger.notice("whether there is an index beside the image is not known", metadata: ["image": "\(image.reference)", "reason": "\(error)"])
                offers = IndexOffers()
            }
            self.offerTable.set(offers, key)
            return offers
        }
        return found ?? IndexOffers()
    }

    private func discover(_ image: Image) async throws -> IndexOffers {
        let source = try remote.source(for: image.reference.repository)
        let subject = image.manifestDescriptor.digest
        // SOCI's second version is named by the image itself.
        let second = image.manifest.annotations?[SOCIManifest.indexAnnotation].flatMap { Digest($0) }
        async let secondBytes = document(second, source)
        let referrers: [Descriptor]
        do {
            referrers = try await source.referrers(of: subject, kinds: [IndexArtifact.type, SOCIManifest.firstType])
        } catch {
            guard second != nil else { throw error }
            referrers = []
        }
        var offers = IndexOffers()
        for descriptor in Self.preferred(referrers.filter { $0.artifactType == IndexArtifact.type }) where !covers(offers, image) {
            await reading(descriptor, image) { try await addArtifact(descriptor, source, image, &offers) }
        }
        if !covers(offers, image), let bytes = try? await secondBytes { await reading(nil, image) { try Self.addSOCI(bytes, nil, &offers) } }
        for descriptor in referrers.filter({ $0.artifactType == SOCIManifest.firstType }).prefix(Self.artifactLimit) where !covers(offers, image) {
            await reading(descriptor, image) { try Self.addSOCI(try await source.manifest(descriptor), subject, &offers) }
        }
        if !offers.indexes.isEmpty { logger.info("the image has indexes in its registry", metadata: ["image": "\(image.reference)", "layers": "\(offers.indexes.count)"]) }
        return offers
    }

    private func document(_ digest: Digest?, _ source: any BlobSource) async throws -> [UInt8]? {
        guard let digest else { return nil }
        return try await source.resolve(.digest(digest)).bytes
    }

    /// Those with a profile first, then those that came last.
    private static func preferred(_ referrers: [Descriptor]) -> ArraySlice<Descriptor> {
        let (with, without) = referrers.reversed().reduce(into: ([Descriptor](), [Descriptor]())) { lists, descriptor in
            if descriptor.annotations?[IndexArtifact.profileAnnotation] != nil { lists.0.append(descriptor) } else { lists.1.append(descriptor) }
        }
        return (with + without).prefix(artifactLimit)
    }

    private func covers(_ offers: IndexOffers, _ image: Image) -> Bool {
        image.layers.allSatisfy { !isWorthAnIndex($0) || offers.indexes[$0.descriptor.digest] != nil }
    }

    /// Whether fetching an index first would save anything for this layer.
    func isWorthAnIndex(_ layer: ImageLayer) -> Bool {
        layer.descriptor.size >= options.smallestIndexedLayer && LayerTable(layer.descriptor) == nil
    }

    /// One that cannot be read is named and left out.
    private func reading(_ descriptor: Descriptor?, _ image: Image, _ body: () async throws -> Void) async {
        do { try await body() } catch {
            logger.warning("an index beside the image cannot be used", metadata: [
                "image": "\(image.reference)", "index": "\(descriptor.map { "\($0.digest)" } ?? "SOCI v2")", "reason": "\(error)",
            ])
        }
    }

    private func addArtifact(_ descriptor: Descriptor, _ source: any BlobSource, _ image: Image, _ offers: inout IndexOffers) async throws {
        let artifact = try IndexArtifact(decoding: try await source.manifest(descriptor), subject: image.manifestDescriptor.digest)
        for index in artifact.indexes { offers.add(IndexOffer(blob: index.blob, form: .larder(size: index.size)), for: index.layer) }
        guard offers.profile == nil, let profile = artifact.profile, options.profiles == .auto, !store.hasProfile(image.manifestDescriptor.digest) else { return }
        offers.profile = Task {
            await self.reading(descriptor, image) {
                guard profile.size <= UInt64(Store.profileLimit) else { throw ImageError.blob(profile, "a profile of \(profile.size) bytes; at most \(Store.profileLimit) are read") }
                let bytes = try await within(self.options.revalidationLimit) { try await source.bytes(of: profile) }
                _ = try await self.blocking { try self.adoptProfile(bytes, for: image) }
            }
        }
    }

    private static func addSOCI(_ bytes: [UInt8], _ subject: Digest?, _ offers: inout IndexOffers) throws {
        let manifest = try SOCIManifest(decoding: bytes)
        if let subject, manifest.subject?.digest != subject { throw ManifestError.invalid("it is the index of another image") }
        for (layer, ztoc) in manifest.ztocs { offers.add(IndexOffer(blob: ztoc, form: .zTOC), for: layer) }
    }
}
