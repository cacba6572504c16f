import CLinux
import Glibc
import LinuxIO

/// The files of a cache's book.
struct BookFiles: Sendable {
    /// Locked exclusively by whoever has the book in hand.
    let counters: LockFile
    let queue: LockFile

    init(in directory: Directory) throws(CacheError) {
        counters = try LockFile(CacheLayout.book, in: directory)
        queue = try LockFile(CacheLayout.queue, in: directory)
    }
}

/// The cache's counters, and the right to change its bookkeeping, for as long as this value lives: `locks/book` is locked
/// exclusively. Held for a few reads and writes, never while waiting for anything else.
///
/// The counters are not synced to disk. A power cut may bring numbers back; all who had them on this host are gone then.
struct CacheBook: ~Copyable {
    private let files: BookFiles
    private var ticket: Int64
    private(set) var epoch: UInt64

    /// Waits for whoever has it.
    init(_ directory: Directory, _ waiter: LockWaiter) throws(CacheError) {
        let files = try BookFiles(in: directory)
        do throws(LockWaiter.End) {
            try files.counters.wait(for: .exclusive, waiter, isBrief: true)
        } catch {
            switch error {
            case .system(let error): throw .system(error)
            case .cancelled, .timedOut: throw .cancelled
            }
        }
        try self.init(locked: files)
    }

    /// nil where somebody has it. One at a time of the same files: they are one holder to the kernel.
    init?(ifFree files: BookFiles) throws(CacheError) {
        guard try files.counters.take(.exclusive) else { return nil }
        try self.init(locked: files)
    }

    private init(locked files: BookFiles) throws(CacheError) {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try files.counters.descriptor.read(Self.length, at: 0)
        } catch {
            files.counters.drop()
            throw .system(error)
        }
        self.files = files
        if let numbers = Self.numbers(bytes) {
            (ticket, epoch) = numbers
        } else {
            // New, or zeros after a power cut: seconds are more than any cache has had acquisitions.
            (ticket, epoch) = (0, bytes.isEmpty ? 0 : UInt64(max(0, Moment.now.milliseconds / 1000)))
        }
    }

    deinit { files.counters.drop() }

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
        switch larder_range_conflict(files.queue.descriptor.raw, LARDER_LOCK_SHARED, 0, 0) {
        case 0: return true
        case 1: return false
        default: throw .system(SystemError("lock", path: files.queue.path))
        }
    }

    // The ticket and the epoch, each of `digits` digits and a space, and a newline.
    private static let digits = 20
    private static let length = 2 * (digits + 1) + 1

    /// nil for what `write` has not written.
    private static func numbers(_ line: [UInt8]) -> (ticket: Int64, epoch: UInt64)? {
        guard line.count == length, let ticket = Int64(String(decoding: line[..<digits], as: UTF8.self)), 0..<Int64.max ~= ticket,
            let epoch = UInt64(String(decoding: line[(digits + 1)..<(length - 2)], as: UTF8.self))
        else { return nil }
        return (ticket, epoch)
    }

    /// One write of a fixed length: a killed process leaves the old line or the new.
    private func write() throws(CacheError) {
        func padded(_ number: UInt64) -> String {
            let text = String(number)
            return String(repeating: "0", count: Self.digits - text.utf8.count) + text
        }
        let line = "\(padded(UInt64(ticket))) \(padded(epoch)) \n"
        try inCache { () throws(SystemError) in try files.counters.descriptor.write(Array(line.utf8), at: 0) }
    }
}
