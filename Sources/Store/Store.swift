import Glibc
import LinuxIO
import Logging
import Synchronization

/// Objects on disk: blobs, tree indexes, spans and large files, each complete or absent, and an OCI image layout as a whole
/// (`StoreLayout` shows the directory).
///
/// Reading takes no lock and works where this user may not write. Any number of processes may use one store at once.
/// Every call may wait for the disk: make none on a thread that answers FUSE requests from memory.
public final class Store: Sendable {
    public let path: String
    public let log: Logger
    let root: Directory
    let serialNumbers: TreeSerials
    let account: StoreAccount
    let summaries = SummaryCache()
    let keeper = StoreKeeper()
    private let presence: StorePresence?
    private let temporaryCount = Atomic<UInt64>(0)
    private let temporaryPrefix: String

    /// Opens the store at `path`. With `create`, makes it where there is nothing or an empty directory, and adopts an
    /// image layout that another tool made.
    ///
    /// Whoever opens a store that nobody else has open empties its `tmp/`.
    /// - Throws: `missing`, `notAStore`, `unsupportedLayout`, `damaged`, `noSpace`, `system`.
    public init(at path: String, create: Bool, logger: Logger) throws(StoreError) {
        self.path = path
        log = logger
        root = try Self.openRoot(path, create: create)
        let isNew = try Self.checkLayout(root, create: create)
        presence = try Self.announce(in: root)
        serialNumbers = TreeSerials(root)
        account = StoreAccount(root)
        temporaryPrefix = "\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        if !isReadOnly, try Self.restoreIndex(root), !isNew { log.notice("made an empty index.json", metadata: ["store": "\(path)"]) }
    }

    /// Whether this user may only read. Every call that writes then throws `StoreError.readOnly`.
    public var isReadOnly: Bool { presence == nil }

    /// Bytes that can still be written to the store's disk.
    public var freeSpace: UInt64 { root.freeSpace }

    /// The disk the store is on, as statvfs(3) has it.
    public var disk: statvfs { root.disk }

    func requireWritable() throws(StoreError) {
        if isReadOnly { throw .readOnly(store: path) }
    }

    func nextTemporaryName(_ label: String) -> String {
        let number = temporaryCount.wrappingAdd(1, ordering: .relaxed).newValue
        return "\(StoreLayout.temporary)/\(label)-\(temporaryPrefix)-\(number)"
    }
}
