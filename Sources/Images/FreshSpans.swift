import LinuxIO
import Logging
import OCI
import Store
import Synchronization

/// Spans that have been fetched and verified and have no name in the store yet: readers get them from here, because a wait for
/// the disk costs as much as half a round trip.
///
/// From memory they go into a file at once, which is the page cache's. The disk is waited for later, once for many: while a
/// workload starts, its processors and its disk have better things to do. What a crash takes with it is fetched again.
///
/// Where the disk takes no more, the last few stay in memory and are served until others come.
final class FreshSpans: Sendable {
    private struct Key: Hashable {
        let contentKey: Digest
        let number: Int
    }

    private enum Place {
        case memory(SpanBuffer)
        case file(TemporaryFile)
    }

    private struct Fresh {
        let key: Key
        let content: SpanBuffer
        let tree: LayerTree
        /// Memory's share, given back when the span is in a file.
        let permit: UrgencyGate.Permit
    }

    private struct Written {
        let key: Key
        let file: TemporaryFile
        let tree: LayerTree
    }

    private struct State {
        var spans: [Key: Place] = [:]
        var queue: [Fresh] = []
        var written: [Written] = []
        var writtenBytes: UInt64 = 0
        var firstWrite = ContinuousClock.now
        var lastWrite = ContinuousClock.now
        /// A thread is at it, of each kind one.
        var isWriting = false
        var isPublishing = false
        /// The store has room for what is written, too: it is in no account before it is published.
        var hasRoom = true
        /// A task sleeps until what is written is due.
        var isWaiting = false
        /// What the disk did not take, oldest first.
        var unstored: [(key: Key, tree: LayerTree, bytes: Int)] = []
        var refusedAt: ContinuousClock.Instant?
        var isReported = false
        var settling: [CheckedContinuation<Void, Never>] = []

        /// When what is written should be given to the disk.
        var due: ContinuousClock.Instant { min(lastWrite + FreshSpans.quietTime, firstWrite + FreshSpans.longestTime) }
        var isSettled: Bool { queue.isEmpty && !isWriting && written.isEmpty && !isPublishing }
    }

    /// Spans that are written before it is looked whether it is time for the disk.
    private static let batchSize = 16
    /// What is written goes to the disk when nothing has come for so long, or when it has been here for so long (as ext4
    /// gives its journal to the disk), or when it is so much.
    private static let quietTime = Duration.seconds(1)
    private static let longestTime = Duration.seconds(5)
    private static let writtenLimit: UInt64 = 256 << 20
    /// Each is an open file, and some hosts allow 1024.
    private static let writtenCount = 128
    /// Where the disk is so far behind, memory is not given back any more, and fetching waits for it.
    private static let backlogCount = 256
    private static let backlogLimit: UInt64 = 512 << 20
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

    /// The spans of a layer that are here.
    func numbers(of contentKey: Digest) -> [Int] { state.withLock { $0.spans.keys.filter { $0.contentKey == contentKey }.map(\.number) } }

    /// Fills `buffer` from `offset` of the span; false where it is not here.
    func read(_ contentKey: Digest, _ number: Int, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard count.load(ordering: .acquiring) > 0 else { return false }
        switch state.withLock({ $0.spans[Key(contentKey: contentKey, number: number)] }) {
        case nil:
            return false
        case .memory(let content):
            guard offset <= UInt64(content.bytes.count), buffer.count <= content.bytes.count - Int(offset) else { return false }
            buffer.copyMemory(from: content.part(Int(offset), buffer.count))
            return true
        case .file(let file):
            if (try? file.descriptor.read(into: buffer, at: offset)) == buffer.count { return true }
            // Whoever wants it fetches it again.
            forget([Key(contentKey: contentKey, number: number)])
            return false
        }
    }

    /// Takes a verified span in. It can be read as soon as this returns.
    func insert(_ content: SpanBuffer, _ number: Int, of tree: LayerTree, _ permit: UrgencyGate.Permit) {
        let key = Key(contentKey: tree.contentKey, number: number)
        state.withLock { state in
            state.spans[key] = .memory(content)
            count.store(state.spans.count, ordering: .releasing)
        }
        // Before it is on disk: whoever publishes the last span of a large file must find all the others accounted for.
        tree.mark(number)
        state.withLock { $0.queue.append(Fresh(key: key, content: content, tree: tree, permit: permit)) }
        startWriting(tree.supply)
    }

    /// Waits until everything that was fetched is on disk, or was refused by it.
    func settle() async {
        await withCheckedContinuation { continuation in
            let (isSettled, supply) = state.withLock { state in
                if !state.isSettled { state.settling.append(continuation) }
                return (state.isSettled, state.written.first?.tree.supply)
            }
            if isSettled { continuation.resume() }
            if let supply { publishWhatIsDue(supply) }
        }
    }

    private func resumeSettled() {
        let settled = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard state.isSettled else { return [] }
            defer { state.settling = [] }
            return state.settling
        }
        for continuation in settled { continuation.resume() }
    }

    /// The library is closing: what is not on disk is fetched again next time.
    private func drop() {
        state.withLock { state in
            (state.queue, state.written, state.writtenBytes, state.isWriting, state.isPublishing) = ([], [], 0, false, false)
        }
        resumeSettled()
    }

    // MARK: - From memory into files

    private func startWriting(_ supply: Supply) {
        let isFirst = state.withLock { state in
            guard !state.isWriting, !state.queue.isEmpty, !Self.isBehind(state) else { return false }
            state.isWriting = true
            return true
        }
        guard isFirst else { return }
        supply.workers.submit { state in
            guard case .active = state else { return self.drop() }
            while let batch = self.takeBatch() {
                self.write(batch, supply)
                self.publishWhatIsDue(supply)
            }
            self.publishWhatIsDue(supply)
            self.resumeSettled()
        }
    }

    private static func isBehind(_ state: State) -> Bool {
        state.isPublishing && (!state.hasRoom || state.writtenBytes >= backlogLimit || state.written.count >= backlogCount)
    }

    /// nil ends the writing.
    private func takeBatch() -> [Fresh]? {
        state.withLock { state in
            guard !state.queue.isEmpty, !Self.isBehind(state) else {
                state.isWriting = false
                return nil
            }
            let batch = Array(state.queue.prefix(Self.batchSize))
            state.queue.removeFirst(batch.count)
            return batch
        }
    }

    // MARK: - From files to the disk

    /// Gives what is written to the disk if it is time, and sees to it that it will be otherwise.
    private func publishWhatIsDue(_ supply: Supply) {
        let bytes = state.withLock { $0.writtenBytes }
        let hasRoom = bytes == 0 || supply.store.hasRoom(for: bytes)
        let (taken, isUrgent) = state.withLock { state -> ([Written], Bool) in
            state.hasRoom = hasRoom
            guard !state.written.isEmpty, !state.isPublishing else { return ([], false) }
            let isUrgent = !hasRoom || !state.settling.isEmpty && state.queue.isEmpty && !state.isWriting
            let isMuch = state.writtenBytes >= Self.writtenLimit || state.written.count >= Self.writtenCount
            guard isUrgent || isMuch || state.due <= .now else { return ([], false) }
            defer { (state.written, state.writtenBytes) = ([], 0) }
            state.isPublishing = true
            return (state.written, isUrgent)
        }
        guard !taken.isEmpty else { return comeBack(supply) }
        // Where nobody waits, everything else on the host goes first.
        (isUrgent ? supply.workers : supply.idlers).submit { state in
            guard case .active = state else { return self.drop() }
            if !isUrgent { ThreadPriority.giveWay() }
            self.publish(taken, supply)
            self.state.withLock { $0.isPublishing = false }
            self.startWriting(supply)
            self.publishWhatIsDue(supply)
            self.resumeSettled()
        }
    }

    private func comeBack(_ supply: Supply) {
        let isNew = state.withLock { state in
            guard !state.written.isEmpty, !state.isPublishing, !state.isWaiting else { return false }
            state.isWaiting = true
            return true
        }
        guard isNew else { return }
        supply.activity.run {
            while let due = self.state.withLock({ $0.written.isEmpty || $0.due <= .now ? nil : $0.due }) {
                // Cancelled: the library is closing, and settles.
                if (try? await Task.sleep(until: due)) == nil { break }
            }
            self.state.withLock { $0.isWaiting = false }
            if !Task.isCancelled { self.publishWhatIsDue(supply) }
        }
    }

    // MARK: - Steps

    private func write(_ batch: [Fresh], _ supply: Supply) {
        do {
            let files: [TemporaryFile]
            do {
                files = try batch.map { try file($0.content, in: supply.store) }
            } catch StoreError.noSpace {
                let bytes = batch.reduce(0) { $0 + UInt64($1.content.bytes.count) }
                guard try supply.store.makeRoom(for: bytes) else { throw StoreError.noSpace(store: supply.store.path, freeBytes: supply.store.freeSpace) }
                files = try batch.map { try file($0.content, in: supply.store) }
            }
            let dropped = state.withLock { state in
                if state.written.isEmpty { state.firstWrite = .now }
                state.lastWrite = .now
                for (item, file) in zip(batch, files) {
                    state.spans[item.key] = .file(file)
                    state.written.append(Written(key: item.key, file: file, tree: item.tree))
                    state.writtenBytes += UInt64(item.content.bytes.count)
                }
                // There is room again: what was kept for want of it goes the way of everything.
                let dropped = state.unstored.filter { item in !batch.contains { $0.key == item.key } }
                for item in dropped { state.spans[item.key] = nil }
                count.store(state.spans.count, ordering: .releasing)
                state.unstored = []
                state.refusedAt = nil
                state.isReported = false
                return dropped
            }
            for item in dropped { item.tree.markMissing(item.key.number) }
        } catch {
            keep(batch, because: error, supply.logger)
        }
    }

    private func file(_ content: SpanBuffer, in store: Store) throws -> TemporaryFile {
        let file = try store.temporary("span")
        try file.write(UnsafeRawBufferPointer(content.bytes))
        return file
    }

    private func publish(_ written: [Written], _ supply: Supply) {
        // What becomes part of an object need not be written to disk twice.
        supply.assembleObjects(written.map { ($0.key.number, $0.tree) })
        let spans = written.filter { item in item.tree.largeFile(at: item.key.number).map { !item.tree.hasObject($0) } ?? true }
        do {
            try supply.store.publishBatch(spans.map { ($0.file, .span($0.key.contentKey, UInt32($0.key.number))) })
            forget(written.map(\.key))
        } catch {
            // Whoever wants it fetches it again, and is served from memory.
            forget(written.map(\.key))
            for item in spans { item.tree.markMissing(item.key.number) }
            if refuse() { report(error, supply.logger) }
        }
    }

    private func forget(_ keys: [Key]) {
        state.withLock { state in
            for key in keys { state.spans[key] = nil }
            count.store(state.spans.count, ordering: .releasing)
        }
    }

    /// The disk does not take it. Reading goes on from memory, the newest spans first.
    private func keep(_ batch: [Fresh], because error: any Error, _ logger: Logger) {
        let isNew = refuse()
        let dropped = state.withLock { state in
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
            return dropped
        }
        for item in dropped { item.tree.markMissing(item.key.number) }
        if isNew { report(error, logger) }
    }

    /// Whether nobody has been told of it yet.
    private func refuse() -> Bool {
        state.withLock { state in
            state.refusedAt = .now
            defer { state.isReported = true }
            return !state.isReported
        }
    }

    private func report(_ error: any Error, _ logger: Logger) {
        logger.error("the store takes no more; what is read is served without being kept", metadata: ["reason": "\(error)"])
    }
}
