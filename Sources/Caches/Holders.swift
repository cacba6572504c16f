import CLinux
import Glibc
import LinuxIO
import Synchronization

/// The records of a cache's holders.
///
/// A record is locked by whoever wrote it, and by the children that inherited its descriptor, for as long as the lease lives;
/// it is unlinked before the lock goes. So a record that is there and not locked is of a holder that died.
struct Holders {
    private let directory: Directory

    init(_ directory: Directory) { self.directory = directory }

    /// All records, in the order of their epochs, with whether their holders live. Opens none for writing: `CacheWatch` takes the
    /// end of a writer for the end of a holder.
    func all(_ suffix: String = CacheLayout.recordSuffix) throws(CacheError) -> [(record: LeaseRecord, lives: Bool)] {
        try inCache { () throws(SystemError) in
            var found: [(record: LeaseRecord, lives: Bool)] = []
            for name in try names(suffix) {
                guard let file = try directory.openIfPresent("\(CacheLayout.holders)/\(name)", O_RDONLY | O_NOFOLLOW) else { continue }
                let lives = larder_range_conflict(file.raw, LARDER_LOCK_EXCLUSIVE, 0, 0) != 0
                // It can end between: what has no name any more was released.
                guard try file.status().st_nlink > 0 else { continue }
                guard let record = try JSONFile.read(LeaseRecord.self, "\(CacheLayout.holders)/\(name)", in: directory) else { continue }
                found.append((record, lives))
            }
            return found.sorted { $0.record.epoch < $1.record.epoch }
        }
    }

    func living() throws(CacheError) -> [LeaseRecord] { try all().filter(\.lives).map(\.record) }

    /// Publishes `record`, locked, so that nobody ever sees it without its lock. On disk before it returns where `isDurable`: a
    /// power cut ends a holder too.
    func add(_ record: LeaseRecord, isDurable: Bool) throws(CacheError) -> LockFile {
        let temporary = "\(CacheLayout.holders)/.\(record.token)"
        // Before there is anything to see of it.
        OwnLeases.add(record.token)
        let file = try LockFile(temporary, in: directory)
        guard try file.take(.exclusive) else { throw .damaged(path: file.path, reason: "somebody else has locked it") }
        do throws(SystemError) {
            try file.descriptor.write(JSONFile.bytes(record))
            if isDurable { try file.descriptor.syncData() }
            try directory.rename(temporary, to: CacheLayout.holder(record.token))
            if isDurable { try directory.syncParent(of: temporary) }
        } catch {
            _ = try? directory.remove(temporary)
            _ = try? directory.remove(CacheLayout.holder(record.token))
            OwnLeases.remove(record.token)
            throw .system(error)
        }
        return file
    }

    func remove(_ token: String) throws(SystemError) {
        try directory.remove(CacheLayout.holder(token))
    }

    func removeResting(_ token: String) throws(SystemError) {
        try directory.remove(CacheLayout.resting(token))
    }

    /// Takes the records of the dead away; an instance that one of them could have changed is marked unclean first. Only with
    /// the book in hand: it keeps records from being made meanwhile.
    func bury(_ book: borrowing CacheBook) throws(CacheError) {
        for (record, lives) in try all() where !lives {
            if let instance = record.instance, !record.readOnly { try UncleanMark(found: .now, holder: record).leave(on: instance, in: directory) }
            try inCache { () throws(SystemError) in try remove(record.token) }
        }
        // A process that dies at rest has nothing begun; what it changed is there. What a machine had not written when it stopped is not.
        for (record, lives) in try all(CacheLayout.restingSuffix) where !lives {
            let isOfThisBoot = !record.boot.isEmpty && record.boot == ProcessStatus.boot
            if let instance = record.instance, !isOfThisBoot { try UncleanMark(found: .now, holder: record).leave(on: instance, in: directory) }
            try inCache { () throws(SystemError) in try removeResting(record.token) }
        }
        try inCache { () throws(SystemError) in
            // Died between making a record and publishing it.
            for entry in try directory.directory(CacheLayout.holders).entries() where entry.name.first == UInt8(ascii: ".") {
                try directory.remove("\(CacheLayout.holders)/\(entry.text)")
            }
        }
    }

    private func names(_ suffix: String) throws(SystemError) -> [String] {
        try directory.directory(CacheLayout.holders).list().filter { !$0.hasPrefix(".") && $0.hasSuffix(suffix) }
    }
}

/// The tokens of this process's own leases: to itself it is nobody else.
enum OwnLeases {
    private struct Tokens {
        var known: Set<String> = []
        /// Ended, oldest first: news of their end comes later.
        var ended: [String] = []
    }

    private static let tokens = Mutex(Tokens())
    private static let memory = 1024

    static func add(_ token: String) { tokens.withLock { _ = $0.known.insert(token) } }

    static func remove(_ token: String) {
        tokens.withLock { tokens in
            tokens.ended.append(token)
            guard tokens.ended.count > memory * 2 else { return }
            tokens.known.subtract(tokens.ended.prefix(memory))
            tokens.ended.removeFirst(memory)
        }
    }

    static func contains(_ token: String) -> Bool { tokens.withLock { $0.known.contains(token) } }
}

/// Says that somebody ended in the middle of using an instance: killed, or the machine was. Stays until a check has passed.
public struct UncleanMark: Sendable, Hashable, Codable {
    public let found: Moment
    public let holder: LeaseRecord

    /// Of several who died, the first is kept: since then nothing is sure.
    func leave(on instance: Int, in directory: Directory) throws(CacheError) {
        let name = CacheLayout.unclean(instance)
        if directory.exists(name) { return }
        try inCache { () throws(SystemError) in try JSONFile.replace(name, in: directory, with: JSONFile.bytes(self)) }
    }

    /// A mark that cannot be read is one all the same.
    static func read(of instance: Int, in directory: Directory) throws(CacheError) -> UncleanMark? {
        try inCache { () throws(SystemError) in try JSONFile.read(UncleanMark.self, CacheLayout.unclean(instance), in: directory) }
    }
}

extension UncleanMark {
    /// For a mark that cannot be read.
    static func unknown(_ finder: LeaseRecord) -> UncleanMark { UncleanMark(found: finder.since, holder: finder) }
}
