import LinuxIO
import OCI
import Store
import Synchronization
import TreeIndex

/// One layer whose index is known, with its content: what is in the store, and how to get the rest.
public final class LayerTree: Sendable {
    /// What does not change about the layer: the index and what is worth looking up once.
    struct Parts: Sendable {
        let index: TreeIndex
        let view: TreeView
        /// Names the layer's spans in the store.
        let contentKey: Digest
        /// Files with spans of their own, in the order of their content.
        let largeFiles: [Ordinal]
        /// Large files that have no spans, only an object, with their sizes in bytes.
        let loneObjects: [(digest: Digest, size: UInt64)]
    }

    let parts: Parts
    public let layer: ImageLayer
    public let format: LayerFormat
    let supply: Supply
    private let presence: Mutex<SpanPresence>
    private let missing: Atomic<Int>
    private let flights = SingleFlight<Int, Void>(abandoned: .cancel)
    /// Brings back the content of a layer that has no table of contents, by streaming it once more.
    private let restore: @Sendable () async throws -> Void

    public var index: TreeIndex { parts.index }
    public var view: TreeView { parts.view }
    public var contentKey: Digest { parts.contentKey }

    init(_ index: TreeIndex, _ identity: LayerIdentity, layer: ImageLayer, supply: Supply, restore: @escaping @Sendable () async throws -> Void) throws {
        let view = index.view
        var largeFiles: [Ordinal] = []
        var loneObjects: [(digest: Digest, size: UInt64)] = []
        for ordinal in 0..<Ordinal(view.nodeCount) {
            let node = view.node(ordinal)
            guard node.flags.contains(.large), !node.isDead else { continue }
            if node.contentOffset != nil {
                largeFiles.append(ordinal)
            } else if let digest = node.objectNumber.flatMap({ view.object($0).digest }) {
                loneObjects.append((digest, node.size))
            }
        }
        largeFiles.sort { (view.node($0).contentOffset ?? 0) < (view.node($1).contentOffset ?? 0) }
        parts = Parts(index: index, view: view, contentKey: identity.contentKey, largeFiles: largeFiles, loneObjects: loneObjects)
        self.layer = layer
        self.supply = supply
        self.restore = restore
        format = identity.format
        let presence = try SpanPresence(of: parts, in: supply.store)
        missing = Atomic(presence.missing)
        self.presence = Mutex(presence)
    }

    // MARK: - What is here

    /// Every byte of every file is in the store.
    public var isComplete: Bool { missing.load(ordering: .relaxed) == 0 }

    /// Bytes of content in the store, and in all.
    public var storedBytes: (here: UInt64, total: UInt64) {
        var here: UInt64 = 0
        var total: UInt64 = 0
        presence.withLock { presence in
            for number in 0..<view.spanCount {
                total += view.span(number).length
                if presence[number] { here += view.span(number).length }
            }
        }
        for object in parts.loneObjects {
            total += object.size
            if supply.store.hasObject(object.digest) { here += object.size }
        }
        return (here, total)
    }

    /// Bytes of the file that are in the store: what `st_blocks` counts.
    public func storedSize(_ ordinal: Ordinal) -> UInt64 {
        let node = view.node(ordinal)
        let stored = view.storedSize(of: node)
        if isComplete || stored == 0 { return stored }
        guard let content = node.contentOffset else { return hasObject(ordinal) ? stored : 0 }
        return presence.withLock { presence in
            var bytes: UInt64 = 0
            for number in view.spanNumbers(in: content..<content + stored) where presence[number] {
                let span = view.span(number)
                bytes += min(span.contentEnd, content + stored) - max(span.contentStart, content)
            }
            return bytes
        }
    }

    /// Whether all of a file's content is in the store.
    public func isHere(_ ordinal: Ordinal) -> Bool { storedSize(ordinal) == view.storedSize(of: view.node(ordinal)) }

    /// sha256 of a file's content as far as it can be told without fetching: known from the index, or computed from what is
    /// here where the file is small.
    public func contentDigest(_ ordinal: Ordinal) -> Digest? {
        let node = view.node(ordinal)
        guard node.kind == .regular else { return nil }
        if let digest = objectDigest(ordinal) { return digest }
        guard node.size <= 4 << 20 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(node.size))
        guard let count = try? bytes.withUnsafeMutableBytes({ try read(ordinal, at: 0, into: $0) }), count == bytes.count else { return nil }
        return Digest(of: bytes)
    }

    private func mark(_ number: Int) {
        presence.withLock { presence in
            if presence.insert(number) { missing.subtract(1, ordering: .relaxed) }
        }
    }

    private func markMissing(_ number: Int) {
        presence.withLock { presence in
            if presence.remove(number) { missing.add(1, ordering: .relaxed) }
        }
    }

    /// Looks into the store anew, after another process or a stream has filled it.
    func refreshPresence() throws {
        let fresh = try SpanPresence(of: parts, in: supply.store)
        presence.withLock { presence in
            presence = fresh
            missing.store(fresh.missing, ordering: .relaxed)
        }
    }

    // MARK: - Objects

    func objectDigest(_ ordinal: Ordinal) -> Digest? { view.node(ordinal).objectNumber.flatMap { view.object($0).digest } }

    /// A descriptor for the whole content of a large file; nil where it is not (yet) one object.
    public func openObject(_ ordinal: Ordinal) throws -> OwnedDescriptor? {
        guard let digest = objectDigest(ordinal) else { return nil }
        return try supply.store.openObject(digest)
    }

    /// Whether `openObject` would answer.
    public func hasObject(_ ordinal: Ordinal) -> Bool { objectDigest(ordinal).map { supply.store.hasObject($0) } ?? false }

    /// The large file whose content lies in a span.
    func largeFile(at number: Int) -> Ordinal? {
        let span = view.span(number)
        guard span.flags.contains(.exclusive) else { return nil }
        // The last one that begins at or before the span.
        var low = 0
        var high = parts.largeFiles.count
        while low < high {
            let middle = (low + high) / 2
            if (view.node(parts.largeFiles[middle]).contentOffset ?? 0) <= span.contentStart { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? parts.largeFiles[low - 1] : nil
    }

    // MARK: - Reading

    /// Fills `buffer` from `offset` of the file `ordinal` (canonical). Returns the count, short only at the end of the
    /// file, or nil where something of it is not in the store.
    public func read(_ ordinal: Ordinal, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Int? {
        let node = view.node(ordinal)
        guard node.kind == .regular, offset < node.size, buffer.count > 0 else { return 0 }
        let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(UInt64(buffer.count), node.size - offset))])
        if let digest = objectDigest(ordinal) {
            let count = try supply.descriptors.read(.object(digest), at: offset, into: wanted) { try supply.store.openObject(digest) }
            if let count {
                guard count == wanted.count else { throw cutShort(.object(digest), as: .object(digest)) }
                return count
            }
        }
        var done = 0
        while done < wanted.count {
            guard let run = view.content(of: node, at: offset + UInt64(done)), run.length > 0 else { return nil }
            let part = UnsafeMutableRawBufferPointer(rebasing: wanted[done..<done + Int(min(run.length, UInt64(wanted.count - done)))])
            if let content = run.contentOffset {
                guard try readContent(at: content, into: part) else { return nil }
            } else {
                part.initializeMemory(as: UInt8.self, repeating: 0)
            }
            done += part.count
        }
        return done
    }

    private func readContent(at start: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Bool {
        var done = 0
        while done < buffer.count {
            let position = start + UInt64(done)
            guard let number = view.spanNumber(at: position) else { throw ImageError.blob(layer.descriptor, "its index has no span for content at \(position)") }
            let span = view.span(number)
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + min(buffer.count - done, Int(span.contentEnd - position))])
            let count = try supply.descriptors.read(.span(contentKey, number), at: position - span.contentStart, into: part) {
                try supply.store.openSpan(contentKey, UInt32(number))
            }
            guard let count else {
                // Unless it went because the whole file became an object a moment ago.
                if largeFile(at: number).map({ !hasObject($0) }) ?? true { markMissing(number) }
                return false
            }
            guard count == part.count else { throw cutShort(.span(contentKey, UInt32(number)), as: .span(contentKey, number)) }
            done += count
        }
        return true
    }

    /// A damaged file is let go of, so that a repair, which may be another process's, is seen at once.
    private func cutShort(_ key: StoreKey, as cached: DescriptorCache.Key) -> ImageError {
        supply.descriptors.forget(cached)
        return .cutShort(key)
    }

    // MARK: - Fetching

    /// Brings `count` bytes of the file at `offset` into the store.
    public func fetch(_ ordinal: Ordinal, at offset: UInt64, count: Int) async throws {
        let node = view.node(ordinal)
        guard offset < node.size, !hasObject(ordinal) else { return }
        var position = offset
        let end = min(node.size, offset + UInt64(count))
        var last = -1
        while position < end {
            // An object that has no spans, or nothing but holes.
            guard let run = view.content(of: node, at: position) else { return try await restore() }
            guard run.length > 0 else { return }
            if let content = run.contentOffset {
                for number in view.spanNumbers(in: content..<content + min(run.length, end - position)) where number != last {
                    try await fetchSpan(number)
                    last = number
                }
            }
            position += run.length
        }
    }

    /// Brings one span into the store, or finds it there.
    func fetchSpan(_ number: Int) async throws {
        if supply.store.has(.span(contentKey, UInt32(number))) { return mark(number) }
        if let file = largeFile(at: number), hasObject(file) { return mark(number) }
        guard format.hasTableOfContents else { return try await restore() }
        try await flights.run(number) { [supply] in
            try await supply.fetchSpan(number, of: self)
            self.mark(number)
            await self.assemble(number)
        }
    }
}

extension LayerTree {
    /// Makes every large file one object whose spans are here but were never put together.
    func assembleObjects() async {
        for file in parts.largeFiles where !hasObject(file) {
            guard let content = view.node(file).contentOffset, let number = view.spanNumber(at: content) else { continue }
            await assemble(number)
        }
    }

    /// The content is here with or without the object, so that a failure is nobody's error.
    private func assemble(_ number: Int) async {
        do {
            try await supply.workers.runIfActive { [supply] in try supply.assembleObject(at: number, of: self) }
        } catch {
            supply.logger.warning("a large file stays in spans", metadata: ["blob": "\(layer.descriptor.digest)", "reason": "\(error)"])
        }
    }
}

extension LayerFormat {
    /// Whether single spans can be fetched by range.
    var hasTableOfContents: Bool { self == .estargz || self == .zstdChunked }

    /// As `status.json` and messages call it.
    public var name: String {
        switch self {
        case .tar: "tar"
        case .gzip: "gzip"
        case .zstd: "zstd"
        case .estargz: "estargz"
        case .zstdChunked: "zstd:chunked"
        }
    }
}
