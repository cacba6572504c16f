import CLinux
import Glibc
import LinuxIO

/// The cache's counters, and the right to change its bookkeeping, for as long as this value lives: `locks/book` is locked
/// exclusively. Held for a few reads and writes, never while waiting for anything else.
///
/// The counters are not synced to disk. A power cut may bring numbers back; all who had them on this host are gone then.
struct CacheBook: ~Copyable {
    private let file: LockFile
    private let queue: LockFile
    private var ticket: Int64
    private(set) var epoch: UInt64

    /// Waits for whoever has it.
    init(_ directory: Directory, _ waiter: LockWaiter) throws(CacheError) {
        let file = try LockFile(CacheLayout.book, in: directory)
        do throws(LockWaiter.End) {
            try file.wait(for: .exclusive, waiter, isBrief: true)
        } catch {
            switch error {
            case .system(let error): throw .system(error)
            case .cancelled, .timedOut: throw .cancelled
            }
        }
        try self.init(file, in: directory)
    }

    /// nil where somebody has it.
    init?(ifFreeIn directory: Directory) throws(CacheError) {
        let file = try LockFile(CacheLayout.book, in: directory)
        guard try file.take(.exclusive) else { return nil }
        try self.init(file, in: directory)
    }

    private init(_ file: LockFile, in directory: Directory) throws(CacheError) {
        let queue = try LockFile(CacheLayout.queue, in: directory)
        let bytes = try inCache { () throws(SystemError) in try file.descriptor.read(64, at: 0) }
        let numbers = String(decoding: bytes, as: UTF8.self).split(separator: " ").map { UInt64($0.drop { $0 == "0" }) ?? 0 }
        let isWhole = numbers.count == 3 && numbers[0] < UInt64(Int64.max)
        self.file = file
        self.queue = queue
        ticket = isWhole ? Int64(numbers[0]) : 0
        // New, or zeros after a power cut: seconds are more than any cache has had acquisitions.
        epoch = isWhole ? numbers[1] : bytes.isEmpty ? 0 : UInt64(max(0, Moment.now.milliseconds / 1000))
    }

    /// The next place in the queue, locked in `queue`: the caller's own open file.
    mutating func nextTicket(_ queue: LockFile) throws(CacheError) -> Int64 {
        repeat {
            ticket += 1
            if larder_range_lock(queue.descriptor.raw, LARDER_LOCK_EXCLUSIVE, ticket, 1, 0) == 0 {
                try write()
                return ticket
            }
            // Taken: the counter was lost while somebody waited.
        } while errno == EAGAIN || errno == EACCES
        throw .system(SystemError("lock", path: queue.path))
    }

    mutating func nextEpoch() throws(CacheError) -> UInt64 {
        epoch += 1
        try write()
        return epoch
    }

    func nobodyWaits() throws(CacheError) -> Bool {
        switch larder_range_conflict(queue.descriptor.raw, LARDER_LOCK_SHARED, 0, 0) {
        case 0: return true
        case 1: return false
        default: throw .system(SystemError("lock", path: queue.path))
        }
    }

    /// One write of a fixed length: a killed process leaves the old line or the new.
    private func write() throws(CacheError) {
        func padded(_ number: UInt64) -> String {
            let text = String(number)
            return String(repeating: "0", count: 20 - text.utf8.count) + text
        }
        let line = "\(padded(UInt64(ticket))) \(padded(epoch)) \n"
        try inCache { () throws(SystemError) in try file.descriptor.write(Array(line.utf8), at: 0) }
    }
}
