import OCI

extension StoreContents {
    /// Which images need each file: `body` is called once for every file with the layer it belongs to, if one is known, and
    /// the positions of the images.
    func eachFile(_ body: (_ key: StoreKey, _ bytes: UInt64, _ lastUse: Int64, _ layer: Digest?, _ images: [Int]) -> Void) {
        var documentOwners: [Digest: [Int]] = [:]
        for (position, image) in images.enumerated() {
            for document in image.documents { documentOwners[document, default: []].append(position) }
        }
        for (digest, file) in blobs {
            let owners = Set((layers[digest]?.images ?? []) + (documentOwners[digest] ?? [])).sorted()
            body(file.key, file.allocatedBytes, file.lastUse, layers[digest]?.digest, owners)
        }
        for (key, files) in spans {
            let layer = layerOfContent[key].flatMap { layers[$0] }
            for file in files { body(file.key, file.allocatedBytes, file.lastUse, layer?.digest, layer?.images ?? []) }
        }
        for (digest, file) in objects {
            let owners = (layersOfObject[digest] ?? []).compactMap { layers[$0] }
            body(file.key, file.allocatedBytes, file.lastUse, owners.first?.digest, Set(owners.flatMap(\.images)).sorted())
        }
        for tree in trees {
            let layer = tree.summary?.identity.flatMap { layers[$0.blobDigest] }
            let owners = layer?.images ?? tree.summary.map { images(ofSnapshot: $0) } ?? []
            for (position, name) in tree.names.enumerated() {
                body(.tree(name), position == tree.names.count - 1 ? tree.allocatedBytes : 0, tree.lastUse, layer?.digest, owners)
            }
        }
    }

    /// What belongs to an image that is no longer among `images`, and to none that is: what goes with it.
    public func belongings(of image: StoredImage) -> [StoreKey] {
        let own = Set(image.layers)
        var keys: [StoreKey] = []
        let snapshots = trees.filter { tree in
            guard let summary = tree.summary, summary.identity == nil, images(ofSnapshot: summary).isEmpty else { return false }
            // An empty stack has no layers that could tell whose it is.
            return summary.layers.contains { layerOfContent[$0].map { own.contains($0) } ?? true }
        }
        let names = Set(snapshots.flatMap(\.names))
        eachFile { key, _, _, layer, owners in
            guard owners.isEmpty else { return }
            switch key {
            case .blob(let digest):
                if (image.documents.contains(digest) || own.contains(digest)) && !foreign.contains(digest) { keys.append(key) }
            case .span: if layer.map({ own.contains($0) }) ?? false { keys.append(key) }
            case .object(let digest): if layersOfObject[digest]?.contains(where: { own.contains($0) }) ?? false { keys.append(key) }
            case .tree(let name): if layer.map({ own.contains($0) }) ?? names.contains(name) { keys.append(key) }
            }
        }
        return keys
    }
}

extension Store {
    /// What a reference names; nil where the store does not know it.
    public func storedImage(_ reference: Reference) throws(StoreError) -> StoredImage? {
        let index = try referenceIndex()
        guard let top = index.references.first(where: { $0.0 == reference })?.1 else { return nil }
        return StoredImage(reference, top, isPinned: index.isPinned(reference), in: self)
    }
}
