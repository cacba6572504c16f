import Glibc
import LinuxIO
import OCI
import Store
import Synchronization

/// What becomes of access profiles.
public enum ProfilePolicy: Sendable, Equatable {
    /// Images are prefetched by their profiles, and those without are recorded at their first use.
    case auto
    /// Profiles are neither used nor made.
    case off
    /// Everything that is read until the library shuts down is written to a file; nothing is prefetched.
    case record(file: String)
}

extension ImageLibrary {
    /// The tree of an image begins to be read by people: fetches what its profile says, and listens where there is none. Only
    /// the first call for an image has an effect. Returns at once.
    public func use(_ tree: ContentTree, of image: Image) {
        guard options.profiles != .off else { return }
        let isRecording = options.profiles != .auto
        let use = uses.withLock { uses -> ImageUse? in
            guard uses[image.manifestDescriptor.digest] == nil else { return nil }
            let use = ImageUse(image: image, tree: tree, records: isRecording || !store.isReadOnly)
            uses[image.manifestDescriptor.digest] = use
            return use
        }
        guard let use, !isRecording else { return }
        use.start { [self] in
            let known = try? await blocking { try self.advice(for: image, use.tree) }
            // What somebody has recorded on purpose stands; and who finds all content here will not tell more than is known.
            if let known, known.origin == .command || (known.origin == .mount && tree.isComplete) { _ = use.stopRecording() }
            async let listening: Void = listen(use)
            if let known { await prefetch(known, use) }
            use.update { $0.isSettled = true }
            await listening
        }
    }

    /// What is known of an image's profile, for people; nothing is read from disk but a name.
    func profileStatus(of image: Image) -> ImageStatus.Profile {
        let progress = uses.withLock { $0[image.manifestDescriptor.digest] }?.progress ?? .init()
        return ImageStatus.Profile(
            present: store.hasProfile(image.manifestDescriptor.digest), recording: progress.isRecording,
            wantedSpans: progress.wantedSpans, broughtSpans: progress.broughtSpans)
    }

    /// Ends all recordings and keeps what they saw.
    func endUses() async {
        for use in uses.withLock({ Array($0.values) }) {
            await use.end()
            await keep(use)
        }
    }

    private func listen(_ use: ImageUse) async {
        // A glance long before the real work must not end it: only the time counts in which something is read.
        var active = Duration.zero
        while active < ImageUse.recordingLimit, let quiet = use.quiet {
            if quiet < ImageUse.quietLimit { active += ImageUse.tick }
            do { try await Task.sleep(for: ImageUse.tick) } catch { return }
        }
        await keep(use)
    }

    // MARK: - Keeping

    private func keep(_ use: ImageUse) async {
        guard let recorder = use.stopRecording() else { return }
        do {
            try await blocking { [self] in
                if case .record(let file) = options.profiles {
                    let profile = AccessProfile(recorder, of: use.tree.layers, origin: .command)
                    return try OwnedDescriptor.open(file, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(try profile.encoded)
                }
                let profile = AccessProfile(recorder, of: use.tree.layers, origin: .mount)
                guard try isBetter(profile, for: use.image) else { return }
                try store.setProfile(try profile.encoded, use.image.manifestDescriptor.digest)
                logger.info("access profile kept", metadata: ["image": "\(use.image.reference)", "files": "\(profile.files)", "bytes": "\(profile.bytes)"])
            }
        } catch {
            logger.warning("access profile lost", metadata: ["image": "\(use.image.reference)", "reason": "\(error)"])
        }
    }

    /// A first use may have been a glance; the next one that reads far more tells more. What was recorded on purpose is
    /// replaced on purpose only.
    private func isBetter(_ profile: AccessProfile, for image: Image) throws -> Bool {
        guard !profile.touches.isEmpty else { return false }
        guard let known = try profileIfReadable(image.manifestDescriptor.digest) else { return true }
        return known.origin == .mount && profile.bytes >= known.bytes &* 2
    }

    // MARK: - Prefetching

    /// The image's profile; where it has none, what its layers' makers advise.
    private func advice(for image: Image, _ tree: ContentTree) throws -> AccessProfile? {
        if let profile = try profileIfReadable(image.manifestDescriptor.digest) { return profile }
        var layers: [AccessProfile.Layer] = []
        var touches: [AccessProfile.Touch] = []
        for layer in tree.layers where layer.format.hasTableOfContents {
            guard let profile = try profileIfReadable(layer.contentKey), let place = profile.layers.first, !layers.contains(where: { $0.digest == place.digest }) else { continue }
            touches += profile.touches.map { .init(layer: layers.count, offset: $0.offset, length: $0.length) }
            layers.append(place)
        }
        return touches.isEmpty ? nil : AccessProfile(origin: .landmark, layers: layers, touches: touches)
    }

    /// Keeps what an eStargz layer's maker advises to fetch first: everything before the landmark.
    /// - Parameter length: bytes from the front of the blob; `TableOfContents.prefetchLength`.
    func keepLandmark(_ length: UInt64?, of tree: LayerTree) {
        guard let length, length > 0, options.profiles != .off, !store.isReadOnly else { return }
        let touches = (0..<tree.view.spanCount).map { tree.view.span($0) }.filter { $0.sourceOffset < length }.map {
            AccessProfile.Touch(layer: 0, offset: $0.contentStart, length: $0.length)
        }
        guard !touches.isEmpty, touches.count <= AccessRecorder.touchLimit else { return }
        do {
            try store.setProfile(try AccessProfile(origin: .landmark, layers: [.init(tree)], touches: touches).encoded, tree.contentKey)
        } catch {
            logger.warning("the order of a layer's files is lost", metadata: ["layer": "\(tree.layer.descriptor.digest)", "reason": "\(error)"])
        }
    }

    private func prefetch(_ profile: AccessProfile, _ use: ImageUse) async {
        let layers = use.tree.layers
        let link = supply.links[use.image.reference.repository.host]
        let plan = PrefetchPlan(
            profile, for: layers.map { $0.servesSpans ? (.init($0), $0.view) : nil }, room: prefetchRoom, neighbours: link.estimate.bytesPerRoundTrip
        ) { !layers[$0].hasSpan($1) }
        guard !plan.batches.isEmpty else { return }
        use.update { $0.wantedSpans = plan.spanCount; $0.wantedBytes = plan.contentBytes; $0.isPrefetching = true }
        logger.info("fetching by the image's access profile", metadata: [
            "image": "\(use.image.reference)", "spans": "\(plan.spanCount)", "bytes": "\(plan.sourceBytes)", "origin": "\(profile.origin.rawValue)",
        ])
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, batch) in plan.batches.enumerated() {
                    if number >= Self.batchesInFlight { try await group.next() }
                    group.addTask {
                        try await layers[batch.slot].fetcher.bring(batch.spans, for: .profile)
                        use.update { $0.broughtSpans += batch.spans.count }
                    }
                }
                try await group.waitForAll()
            }
        } catch {
            // Readers ask again for what they need, and say what is wrong with it.
            if !Task.isCancelled { logger.warning("fetching by the access profile ended early", metadata: ["image": "\(use.image.reference)", "reason": "\(error)"]) }
        }
        use.update { $0.isPrefetching = false }
    }

    private static var batchesInFlight: Int { 4 }

    /// Of a store that is kept small not more than half is filled ahead: the end of a profile must not drive out its beginning.
    private var prefetchRoom: UInt64 {
        let disk = store.disk
        let limits = store.limits
        return [limits.maxSize, limits.maxContent].compactMap { $0?.bytes(ofDisk: UInt64(disk.f_blocks) &* UInt64(disk.f_frsize)) }.min().map { $0 / 2 } ?? .max
    }

    // MARK: - By hand, and with an index from a registry

    /// The image's own profile; nil where the store has none. One that is damaged counts as none.
    public func profile(of image: Image) throws -> AccessProfile? { try profileIfReadable(image.manifestDescriptor.digest) }

    /// The profile's document, to be sent beside an index; nil where there is none.
    public func profileBytes(of image: Image) throws -> [UInt8]? { try profile(of: image)?.encoded }

    /// Takes a profile that came with an index. It only advises, so that it is believed as far as it is well formed and speaks of
    /// this image; it replaces none that is here.
    /// - Returns: whether it was taken.
    /// - Throws: `ProfileError`, `StoreError`.
    @discardableResult
    public func adoptProfile(_ bytes: [UInt8], for image: Image) throws -> Bool {
        guard options.profiles != .off, !store.isReadOnly, try profile(of: image) == nil else { return false }
        try setProfile(bytes, for: image)
        return true
    }

    /// Makes this document the image's profile.
    /// - Throws: `ProfileError` where it is no profile, or one of another image; `StoreError`.
    public func setProfile(_ bytes: [UInt8], for image: Image) throws {
        let profile = try AccessProfile(decoding: bytes)
        let layers = Set(image.layers.map(\.descriptor.digest))
        guard profile.layers.allSatisfy({ layers.contains($0.digest) }) else { throw ProfileError("it speaks of layers that \(image.reference) does not have") }
        try store.setProfile(bytes, image.manifestDescriptor.digest)
    }

    /// - Returns: false where there was none.
    @discardableResult
    public func removeProfile(of image: Image) throws -> Bool { try store.removeProfile(image.manifestDescriptor.digest) }

    private func profileIfReadable(_ key: Digest) throws -> AccessProfile? {
        guard let bytes = try store.profile(key) else { return nil }
        do throws(ProfileError) { return try AccessProfile(decoding: bytes) } catch {
            logger.warning("access profile ignored", metadata: ["key": "\(key)", "reason": "\(error)"])
            return nil
        }
    }
}
