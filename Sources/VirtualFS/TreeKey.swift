import Images
import OCI

/// Which image tree a serial stands for. The text is what the store remembers the serial under, for ever.
enum TreeKey: Hashable, Sendable {
    /// `images/PATH/rootfs` of the image with this manifest.
    case rootfs(path: String, manifest: Digest)
    case layer(Digest)
    case snapshot(Digest)

    var text: String {
        switch self {
        // The path may be longer than the store keeps.
        case .rootfs(let path, let manifest): "images/\(Digest(of: Array("\(path) \(manifest)".utf8)))"
        case .layer(let digest): "layers/\(digest)"
        case .snapshot(let chainID): "snapshots/\(chainID)"
        }
    }
}

extension LarderFileSystem {
    /// The mounted tree of a key. Asks the store for the serial the first time, which writes to disk: cold.
    ///
    /// Where the tree that is shown was made of an index that lied, another one comes in its place, under a serial of its own: the kernel
    /// has ids of the old one.
    func mounted(_ key: TreeKey) throws -> MountedTree {
        let shown = shown(key)
        if let shown, !(shown.content.map(library.isOutlived) ?? false) { return shown }
        let serial = try library.store.serial(for: shown.map { "\(key.text)/after/\($0.serial)" } ?? key.text)
        serials.withLock { $0[key] = serial }
        return try trees.tree(serial) {
            MountedTree(serial: serial, frozen: false) { [weak self] in
                guard let self else { throw FSError.stale }
                return try await open(key)
            }
        }
    }

    /// As `mounted`, for the hot side: nil where the serial is not known yet, or the disk must be asked whether the tree still serves.
    func mountedIfKnown(_ key: TreeKey) -> MountedTree? {
        guard let shown = shown(key), !(shown.content?.canBeOutlived ?? false) else { return nil }
        return shown
    }

    /// What was looked up last.
    func shown(_ key: TreeKey) -> MountedTree? { serials.withLock { $0[key] }.flatMap { trees[$0] } }

    private func open(_ key: TreeKey) async throws -> MountedTree.Opened {
        switch key {
        case .rootfs(_, let manifest):
            guard let image = library.image(manifest: manifest) else { throw FSError.stale }
            let tree = try await library.snapshot(of: image)
            library.use(tree, of: image)
            return .whole(tree)
        case .snapshot(let chainID):
            // An owner whose layers are all sealed has proven its claim to the ChainID; take it before any other.
            let owners = try await library.snapshotOwners(chainID)
            let proven = owners.first { owner in owner.image.layers.prefix(owner.count).allSatisfy { library.store.hasTree($0.descriptor.digest) } }
            guard let owner = proven ?? owners.first else { throw FSError.notFound }
            return .whole(try await library.snapshot(of: owner.image, count: owner.count))
        case .layer(let digest):
            return try await openLayer(digest)
        }
    }

    /// A layer as the images say that have it. Where they do not agree on its DiffID, one of them lies: then none is
    /// followed before its claim is proven, and the first that proves true serves.
    private func openLayer(_ digest: Digest) async throws -> MountedTree.Opened {
        let claims = try await library.layers(digest)
        if let first = claims.first, claims.allSatisfy({ $0.diffID == first.diffID }), let stream = try await library.streaming(first) {
            return .streaming(stream)
        }
        var failure: any Error = ImageError.unknownLayer(digest)
        for layer in claims {
            do { return .whole(ContentTree(layer: try await library.tree(of: layer))) } catch let error as ImageError { failure = error }
        }
        throw failure
    }
}
