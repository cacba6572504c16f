import LinuxIO
import Logging
import OCI
import Store
import Synchronization

/// Spans that have been fetched and verified and are not on disk yet: readers get them from here, because a wait for the
/// disk costs as much as half a round trip. One thread at a time brings them to disk, as many as have gathered meanwhile.
///
/// Where the disk takes no more, the last few stay here and are served until others come.
final class FreshSpans: Sendable {
    private struct Key: Hashable {
        let contentKey: Digest
        let number: Int
    }

    private struct Fresh {
        let key: Key
        let content: SpanBuffer
        let tree: LayerTree
        /// Memory's share, given back when the span is on disk.
        let permit: UrgencyGate.Permit
    }

    private struct State {
        var spans: [Key: SpanBuffer] = [:]
        var queue: [Fresh] = []
        var isPublishing = false
        /// What the disk did not take, oldest first.
        var unstored: [(key: Key, tree: LayerTree, bytes: Int)] = []
        var refusedAt: ContinuousClock.Instant?
        var isReported = false
        var settling: [CheckedContinuation<Void, Never>] = []
    }

    /// Spans that share one wait for the disk.
    private static let batchSize = 16
    /// Bytes of content that are kept without being stored.
    private static let unstoredLimit = 16 << 20
    /// For how long a full disk is believed to be full.
    private static let refusalTime = Duration.seconds(10)

    private let count = Atomic<Int>(0)
    private let state = Mutex(State())

    /// Whether what is fetched now will be kept. False for a while after the disk took nothing: then only what a reader
    /// waits for is worth fetching.
    var isStoring: Bool { state.withLock { $0.refusedAt.map { .now - $0 > Self.refusalTime } ?? true } }

    func contains(_ contentKey: Digest, _ number: Int) -> Bool {
        guard count.load(ordering: .acquiring) > 0 else { return false }
        return state.withLock { $0.spans[Key(contentKey: contentKey, number: number)] != nil }
    }

    /// Fills `buffer` from `offset` of the span; false where it is not here.
    func read(_ contentKey: Digest, _ number: Int, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard count.load(ordering: .acquiring) > 0 else { return false }
        guard let content = state.withLock({ $0.spans[Key(contentKey: contentKey, number: number)] }) else { return false }
        guard offset <= UInt64(content.bytes.count), buffer.count <= content.bytes.count - Int(offset) else { return false }
        buffer.copyMemory(from: content.part(Int(offset), buffer.count))
        return true
    }

    /// Takes a verified span in. It can be read as soon as this returns.
    func insert(_ content: SpanBuffer, _ number: Int, of tree: LayerTree, _ permit: UrgencyGate.Permit) {
        let key = Key(contentKey: tree.contentKey, number: number)
        state.withLock { state in
            state.spans[key] = content
            count.store(state.spans.count, ordering: .releasing)
        }
        // Before it is on disk: whoever publishes the last span of a large file must find all the others accounted for.
        tree.mark(number)
        let mustStart = state.withLock { state in
            state.queue.append(Fresh(key: key, content: content, tree: tree, permit: permit))
            defer { state.isPublishing = true }
            return !state.isPublishing
        }
        guard mustStart else { return }
        tree.supply.workers.submit { state in
            guard case .active = state else { return self.dropQueue() }
            self.publishQueue()
        }
    }

    /// Waits until everything that was fetched is on disk, or was refused by it.
    func settle() async {
        await withCheckedContinuation { continuation in
            let isSettled = state.withLock { state in
                if state.isPublishing { state.settling.append(continuation) }
                return !state.isPublishing
            }
            if isSettled { continuation.resume() }
        }
    }

    private func publishQueue() {
        while true {
            let batch = state.withLock { state in
                let batch = Array(state.queue.prefix(Self.batchSize))
                state.queue.removeFirst(batch.count)
                return batch
            }
            guard !batch.isEmpty else {
                if finish() { return }
                continue
            }
            publish(batch)
        }
    }

    /// False where more has come meanwhile.
    private func finish() -> Bool {
        let settled = state.withLock { state -> [CheckedContinuation<Void, Never>]? in
            guard state.queue.isEmpty else { return nil }
            state.isPublishing = false
            defer { state.settling = [] }
            return state.settling
        }
        guard let settled else { return false }
        for continuation in settled { continuation.resume() }
        return true
    }

    /// The library is closing: what is not on disk is fetched again next time.
    private func dropQueue() {
        state.withLock { $0.queue = [] }
        _ = finish()
    }

    private func publish(_ batch: [Fresh]) {
        let supply = batch[0].tree.supply
        do {
            do {
                try store(batch, in: supply.store)
            } catch StoreError.noSpace {
                let bytes = batch.reduce(0) { $0 + UInt64($1.content.bytes.count) }
                guard try supply.store.makeRoom(for: bytes) else { throw StoreError.noSpace(store: supply.store.path, freeBytes: supply.store.freeSpace) }
                try store(batch, in: supply.store)
            }
            let dropped = state.withLock { state in
                // There is room again: what was kept for want of it goes the way of everything.
                let dropped = state.unstored.filter { item in !batch.contains { $0.key == item.key } }
                for key in batch.map(\.key) + dropped.map(\.key) { state.spans[key] = nil }
                count.store(state.spans.count, ordering: .releasing)
                state.unstored = []
                state.refusedAt = nil
                state.isReported = false
                return dropped
            }
            for item in dropped { item.tree.markMissing(item.key.number) }
            supply.assembleObjects(batch.map { ($0.key.number, $0.tree) })
        } catch {
            keep(batch, because: error, supply.logger)
        }
    }

    private func store(_ batch: [Fresh], in store: Store) throws {
        var files: [(file: TemporaryFile, key: StoreKey)] = []
        for item in batch {
            let file = try store.temporary("span")
            try file.write(UnsafeRawBufferPointer(item.content.bytes))
            files.append((file, .span(item.key.contentKey, UInt32(item.key.number))))
        }
        try store.publishBatch(files)
    }

    /// The disk does not take it. Reading goes on from memory, the newest spans first.
    private func keep(_ batch: [Fresh], because error: any Error, _ logger: Logger) {
        let (dropped, isNew) = state.withLock { state in
            let isNew = !state.isReported
            state.isReported = true
            state.refusedAt = .now
            state.unstored += batch.map { ($0.key, $0.tree, $0.content.bytes.count) }
            var bytes = state.unstored.reduce(0) { $0 + $1.bytes }
            var dropped: [(key: Key, tree: LayerTree)] = []
            while bytes > Self.unstoredLimit, state.unstored.count > 1 {
                let oldest = state.unstored.removeFirst()
                bytes -= oldest.bytes
                state.spans[oldest.key] = nil
                dropped.append((oldest.key, oldest.tree))
            }
            count.store(state.spans.count, ordering: .releasing)
            return (dropped, isNew)
        }
        for item in dropped { item.tree.markMissing(item.key.number) }
        if isNew { logger.error("the store takes no more; what is read is served without being kept", metadata: ["reason": "\(error)"]) }
    }
}
