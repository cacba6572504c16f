import Glibc
import LinuxIO
import Synchronization

/// How much the store keeps, without looking at every file: what the last scan found, and what has come and gone since.
///
/// All processes share the sums in the file `usage`, each adding its own changes a few mebibytes at a time. So they are a
/// little behind, and after a crash or a foreign hand wrong, until the next scan sets them right.
final class StoreAccount: Sendable {
    /// Changes of this process are kept to itself up to so many bytes.
    private static let batch: Int64 = 4 << 20

    /// The file: one line of numbers.
    struct Record: Equatable {
        var totals = StoreTotals()
        /// How many times something was evicted, by whatever process: who keeps files open looks whether it grew.
        var evictions: UInt64 = 0
        /// Seconds since 1970.
        var scanned: Int64 = 0
    }

    private struct State {
        var known: Record?
        var pending: [StoredKind: Int64] = [:]

        var totals: StoreTotals? {
            guard var totals = known?.totals else { return nil }
            for (kind, change) in pending { totals[kind] = Self.sum(totals[kind], change) }
            return totals
        }

        static func sum(_ value: UInt64, _ change: Int64) -> UInt64 {
            change < 0 ? value - min(value, change.magnitude) : value &+ change.magnitude
        }
    }

    private let root: Directory
    private let state = Mutex(State())

    init(_ root: Directory) { self.root = root }

    /// Sums as far as this process knows; nil before any process has scanned the store.
    var totals: StoreTotals? { state.withLock { $0.totals } }

    /// Something has come, or with a negative number gone.
    func add(_ bytes: Int64, of kind: StoredKind) {
        let isDue = state.withLock { state in
            state.pending[kind, default: 0] += bytes
            return state.pending.values.reduce(0) { $0 + Int64(clamping: $1.magnitude) } >= Self.batch
        }
        if isDue { _ = try? exchange() }
    }

    /// Gives this process's changes to all and takes theirs. nil where the store was never scanned.
    /// - Parameter evicted: whether something was evicted.
    @discardableResult
    func exchange(evicted: Bool = false) throws(StoreError) -> Record? {
        try locked { () throws(StoreError) in
            let pending = state.withLock { state in
                defer { state.pending = [:] }
                return state.pending
            }
            guard var record = try read() else { return nil }
            for (kind, change) in pending { record.totals[kind] = State.sum(record.totals[kind], change) }
            if evicted { record.evictions += 1 }
            try write(record)
            state.withLock { $0.known = record }
            return record
        }
    }

    /// The sums as the file has them.
    func peek() -> Record? { try? read() }

    /// Takes what a scan has found in place of all sums. What others did during the scan may be lost from them until the next.
    func set(_ totals: StoreTotals, now: Int64) throws(StoreError) {
        try locked { () throws(StoreError) in
            let record = Record(totals: totals, evictions: try read()?.evictions ?? 0, scanned: now)
            try write(record)
            state.withLock { state in
                state.known = record
                state.pending = [:]
            }
        }
    }

    private func locked<Value>(_ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
        try withLock(StoreLayout.usageLock, in: root, body)
    }

    private func read() throws(StoreError) -> Record? {
        let bytes = try inStore(root) { () throws(SystemError) in
            try root.openIfPresent(StoreLayout.usage, O_RDONLY | O_NOFOLLOW)?.readAll(limit: StoreLayout.markerLimit)
        }
        guard let bytes else { return nil }
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        // A line that a crash has cut short counts as none.
        guard words.count == 7, words[6] == "end" else { return nil }
        let numbers = words.dropLast().compactMap { UInt64($0) }
        guard numbers.count == 6, let scanned = Int64(exactly: numbers[5]) else { return nil }
        var record = Record(evictions: numbers[4], scanned: scanned)
        record.totals.blobs = numbers[0]
        record.totals.content = numbers[1]
        record.totals.indexes = numbers[2]
        record.totals.garbage = numbers[3]
        return record
    }

    private func write(_ record: Record) throws(StoreError) {
        let sums = record.totals
        let numbers = [sums.blobs, sums.content, sums.indexes, sums.garbage, record.evictions, UInt64(clamping: record.scanned)]
        let line = numbers.map { "\($0)" }.joined(separator: " ") + " end\n"
        try inStore(root) { () throws(SystemError) in
            // In place and not to disk: a full disk must not stand in the way, and a lost line costs one scan.
            let file = try root.open(StoreLayout.usage, O_WRONLY | O_CREAT | O_NOFOLLOW)
            try file.write(Array(line.utf8), at: 0)
            guard ftruncate(file.raw, off_t(line.utf8.count)) == 0 else { throw SystemError("truncate", path: StoreLayout.usage) }
        }
    }
}
