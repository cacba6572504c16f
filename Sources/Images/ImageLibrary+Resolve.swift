import OCI
import Remote
import Store

/// What a reference meant, and since when that is known.
struct Resolution: Sendable {
    enum Outcome: Sendable {
        case image(Image)
        case absent(any Error)
    }

    let outcome: Outcome
    let checked: ContinuousClock.Instant
}

extension ImageLibrary {
    /// The image that `reference` names.
    ///
    /// A digest is for ever and comes from the store when it is there. A tag is asked of its registry once in
    /// `tagLifetime`; where the registry does not answer, the image last seen under it serves ("offline is normal").
    /// - Parameter refresh: ask the registry now and fail where it cannot be asked.
    public func image(_ reference: Reference, refresh: Bool = false) async throws -> Image {
        if !refresh, let known = remembered(reference) { return try known.get() }
        if refresh { return try await resolve(reference, refresh: true) }
        return try await resolving.run(reference) { try await self.resolve(reference, refresh: false) }
    }

    private func remembered(_ reference: Reference) -> Result<Image, any Error>? {
        guard let resolution = resolved.withLock({ $0[reference] }) else { return nil }
        let age = ContinuousClock.now - resolution.checked
        switch (resolution.outcome, reference.selector) {
        case (.image(let image), .digest): return .success(image)
        case (.image(let image), .tag): return age < options.tagLifetime ? .success(image) : nil
        case (.absent(let error), _): return age < options.absenceLifetime ? .failure(error) : nil
        }
    }

    private func resolve(_ reference: Reference, refresh: Bool) async throws -> Image {
        let known = try store.references().first { $0.0 == reference }?.1
        if case .digest = reference.selector, !refresh, let known, let image = try? await load(reference, top: known) {
            return remember(image)
        }
        do {
            let image: Image
            if known != nil, !refresh {
                image = try await within(options.revalidationLimit) { try await self.ask(reference) }
            } else {
                image = try await ask(reference)
            }
            return remember(image)
        } catch is CancellationError {
            throw CancellationError()
        } catch let error as RemoteError where error.isCancellation {
            throw error
        } catch {
            if let known, !refresh, let image = try? await load(reference, top: known) {
                logger.warning("serving the image last seen under this tag", metadata: ["reference": "\(reference)", "reason": "\(error)"])
                return remember(image)
            }
            // What a refresh could not ask for is still known.
            guard known == nil else { throw error }
            resolved.withLock { resolved in
                if resolved.count > 10_000 { resolved.removeAll() }
                resolved[reference] = Resolution(outcome: .absent(error), checked: .now)
            }
            throw error
        }
    }

    private func remember(_ image: Image) -> Image {
        resolved.withLock { $0[image.reference] = Resolution(outcome: .image(image), checked: .now) }
        catalog.withLock { $0.add(image) }
        return image
    }

    /// Asks the source of `reference` and writes the documents and the reference into the store.
    private func ask(_ reference: Reference) async throws -> Image {
        let source = try remote.source(for: reference.repository)
        let fetched = try await source.resolve(reference.selector)
        try await keep(fetched.bytes, fetched.descriptor.digest)
        let image = try await load(reference, top: fetched.descriptor)
        // An unchanged entry is not written again: readers of index.json watch its change time.
        if try store.references().first(where: { $0.0 == reference })?.1.digest != fetched.descriptor.digest {
            try await blocking { try self.store.setReference(reference, fetched.descriptor) }
        }
        return image
    }

    /// Builds the image from its top document, taking each document from the store or, if it is not there, the source.
    /// - Parameter offline: throw rather than fetch a document.
    func load(_ reference: Reference, top: Descriptor, offline: Bool = false) async throws -> Image {
        let topBytes = try await document(top, of: reference, offline)
        var descriptor = top
        var bytes = topBytes
        var depth = 0
        while true {
            switch try decode(bytes, descriptor) {
            case .manifest(let manifest):
                let configBytes = try await document(manifest.config, of: reference, offline)
                let config: ImageConfig
                do { config = try ImageConfig(decoding: configBytes) } catch { throw ImageError.badDocument("config \(manifest.config.digest) of \(reference)", error) }
                return try Image(
                    reference: reference, top: top, manifestDescriptor: descriptor, indexBytes: depth == 0 ? nil : topBytes,
                    manifestBytes: bytes, configBytes: configBytes, manifest: manifest, config: config
                )
            case .index(let index):
                // Indexes may nest; two levels are already rare.
                depth += 1
                guard depth <= 4, let chosen = index.manifest(for: options.platform) else {
                    throw ImageError.noPlatform(reference, wanted: options.platform, offered: index.platforms)
                }
                descriptor = chosen
                bytes = try await document(chosen, of: reference, offline)
            }
        }
    }

    private func decode(_ bytes: [UInt8], _ descriptor: Descriptor) throws -> ManifestDocument {
        do {
            return try ManifestDocument(decoding: bytes, mediaType: descriptor.mediaType)
        } catch {
            throw ImageError.badDocument("manifest \(descriptor.digest)", error)
        }
    }

    private func document(_ descriptor: Descriptor, of reference: Reference, _ offline: Bool) async throws -> [UInt8] {
        guard descriptor.size <= ManifestDocument.sizeLimit else {
            throw ImageError.badDocument("document \(descriptor.digest) of \(reference)", .tooLarge(bytes: descriptor.size))
        }
        if let bytes = try store.blobBytes(descriptor.digest, limit: ManifestDocument.sizeLimit) { return bytes }
        guard !offline else { throw ImageError.unknownBlob(descriptor.digest) }
        let source = try remote.source(for: reference.repository)
        let isManifest = MediaType.isManifest(descriptor.mediaType) || MediaType.isIndex(descriptor.mediaType)
        let bytes = isManifest ? try await source.manifest(descriptor) : try await source.bytes(of: descriptor)
        try await keep(bytes, descriptor.digest)
        return bytes
    }

    private func keep(_ bytes: [UInt8], _ digest: Digest) async throws {
        let found = try await blocking { try self.store.putBlob(bytes) }
        guard found == digest else { throw ImageError.wrongDigest(of: "document \(digest)", expected: digest, found: found) }
    }
}

extension BlobSource {
    /// A small blob (a config) whole and verified.
    func bytes(of descriptor: Descriptor) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(descriptor.size))
        for try await part in try await blob(descriptor, range: nil) { bytes.append(contentsOf: part.readableBytesView) }
        let found = Digest(of: bytes)
        guard found == descriptor.digest else { throw ImageError.wrongDigest(of: "blob \(descriptor.digest) from \(name)", expected: descriptor.digest, found: found) }
        return bytes
    }
}
