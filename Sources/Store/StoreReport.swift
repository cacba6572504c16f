import OCI

/// Who takes how much: of the store, and what it would be without the store.
public struct StoreReport: Sendable, Encodable {
    /// Bytes of disk.
    public struct Sizes: Sendable, Encodable {
        /// All that is here.
        public var stored: UInt64 = 0
        /// Of that, what several images need.
        public var shared: UInt64 = 0
        /// Of that, what goes with it.
        public var exclusive: UInt64 { stored - shared }
        public var blobs: UInt64 = 0
        public var content: UInt64 = 0
        public var indexes: UInt64 = 0

        mutating func add(_ bytes: UInt64, _ kind: StoredKind, isShared: Bool) {
            stored += bytes
            if isShared { shared += bytes }
            switch kind {
            case .blob: blobs += bytes
            case .content: content += bytes
            case .index: indexes += bytes
            case .garbage: break
            }
        }

        private enum Key: String, CodingKey { case stored, shared, exclusive, blobs, content, indexes }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(stored, forKey: .stored)
            try container.encode(shared, forKey: .shared)
            try container.encode(exclusive, forKey: .exclusive)
            try container.encode(blobs, forKey: .blobs)
            try container.encode(content, forKey: .content)
            try container.encode(indexes, forKey: .indexes)
        }
    }

    public struct Layer: Sendable, Encodable {
        public var digest: Digest
        /// Bytes of all its files, unpacked; absent before it was looked into.
        public var logical: UInt64?
        public var files: Int?
        public var sizes = Sizes()
        /// How many known images have it.
        public var images = 0
        /// Every byte of every file is here.
        public var complete = false
        public var sealed = false
        /// Somebody is working at it.
        public var leased = false
        /// Seconds since 1970; absent where nothing is here.
        public var lastUse: Int64?
    }

    public struct Image: Sendable, Encodable {
        public var reference: String
        public var digest: Digest
        public var pinned: Bool
        /// Bytes of all files of all layers, unpacked; absent while a layer was not looked into.
        public var logical: UInt64?
        /// Compressed bytes of the layers, as they are in the registry.
        public var compressed: UInt64
        public var sizes = Sizes()
        public var lastUse: Int64?
        public var layers: [Layer] = []
    }

    /// Sorted by reference.
    public var images: [Image] = []
    /// Layers of no known image, sorted by digest.
    public var unneeded: [Layer] = []
    /// The whole store, caches apart.
    public var totals: StoreTotals
    /// Bytes free on its disk.
    public var free: UInt64
}

extension StoreTotals: Encodable {
    private enum Key: String, CodingKey { case blobs, content, indexes, garbage, all }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(blobs, forKey: .blobs)
        try container.encode(content, forKey: .content)
        try container.encode(indexes, forKey: .indexes)
        try container.encode(garbage, forKey: .garbage)
        try container.encode(all, forKey: .all)
    }
}

extension Store {
    /// Counts everything, by image and by layer.
    /// - Parameter references: only these; nil for all that the store knows. `totals` are of the whole store either way.
    public func report(on references: [Reference]? = nil) throws(StoreError) -> StoreReport {
        let contents = try contents()
        var layers: [Digest: StoreReport.Layer] = [:]
        for layer in contents.layers.values {
            var row = StoreReport.Layer(digest: layer.digest)
            let summary = layer.trees.compactMap { contents.trees[$0].summary }.first
            row.logical = summary?.logicalBytes
            row.files = summary?.nodeCount
            row.images = layer.images.count
            row.complete = layer.isComplete
            row.sealed = layer.isSealed
            row.leased = contents.leased.contains(layer.digest)
            layers[layer.digest] = row
        }
        var images = contents.images.map { image in
            StoreReport.Image(
                reference: image.reference?.description ?? "", digest: image.top.digest, pinned: image.isPinned,
                logical: image.layers.reduce(.some(0)) { sum, layer in sum.flatMap { sum in layers[layer]?.logical.map { sum &+ $0 } } },
                compressed: image.layerBytes)
        }
        contents.eachFile { key, bytes, lastUse, layer, owners in
            let isShared = owners.count > 1
            let seconds = lastUse / 1_000_000_000
            if let layer, var row = layers[layer] {
                row.sizes.add(bytes, key.kind, isShared: isShared)
                row.lastUse = max(row.lastUse ?? seconds, seconds)
                layers[layer] = row
            }
            for owner in owners {
                images[owner].sizes.add(bytes, key.kind, isShared: isShared)
                // Documents are looked at whenever anybody lists images.
                guard layer != nil else { continue }
                let before = images[owner].lastUse ?? seconds
                images[owner].lastUse = max(before, seconds)
            }
        }
        for (position, image) in contents.images.enumerated() { images[position].layers = image.layers.compactMap { layers[$0] } }
        var report = StoreReport(totals: contents.totals, free: freeSpace)
        let wanted = references.map { Set($0.map(\.description)) }
        report.images = images.filter { wanted?.contains($0.reference) ?? true }.sorted { $0.reference < $1.reference }
        if references == nil { report.unneeded = layers.values.filter { $0.images == 0 && $0.sizes.stored > 0 }.sorted { $0.digest < $1.digest } }
        return report
    }
}
