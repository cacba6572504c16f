import Glibc
import LinuxIO
import Synchronization

/// A file being written, open for reading and writing, in the store's `tmp/`. Goes with this object unless it is published.
public final class TemporaryFile: Sendable {
    public let descriptor: OwnedDescriptor
    /// Path below the store.
    let name: String
    private let root: Directory
    /// Asked where the disk is full: whether so many bytes have become free.
    private let makeRoom: @Sendable (UInt64) -> Bool
    private let isPublished = Atomic(false)

    /// - Parameter mode: objects are writable by nobody, so that nobody changes one by accident.
    init(_ name: String, in root: Directory, mode: mode_t, makeRoom: @escaping @Sendable (UInt64) -> Bool) throws(SystemError) {
        descriptor = try root.open(name, O_RDWR | O_CREAT | O_EXCL, mode: mode)
        self.makeRoom = makeRoom
        self.name = name
        self.root = root
    }

    deinit {
        if !isPublished.load(ordering: .relaxed) { _ = try? root.remove(name) }
    }

    /// Appends all of `bytes`. Where the disk is full, something else goes for them if it may.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        let start = lseek(descriptor.raw, 0, SEEK_CUR)
        try writing(bytes.count) { () throws(SystemError) in
            // The second time, what the first has written is written over.
            lseek(descriptor.raw, start, SEEK_SET)
            try descriptor.write(bytes)
        }
    }

    public func write(_ bytes: [UInt8]) throws(StoreError) {
        try bytes.span.withUnsafeBytes { bytes throws(StoreError) in try write(bytes) }
    }

    /// Writes all of `bytes` at `offset`, counted from the start of the file; as for `write`.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StoreError) {
        try writing(bytes.count) { () throws(SystemError) in try descriptor.write(bytes, at: offset) }
    }

    private func writing(_ count: Int, _ body: () throws(SystemError) -> Void) throws(StoreError) {
        do throws(SystemError) {
            try body()
        } catch {
            guard error.isNoSpace, makeRoom(UInt64(count)) else { throw StoreError(error, in: root) }
            try inStore(root, body)
        }
    }

    /// The name is gone from `tmp/`, or will be: nothing is left to clean.
    func becamePublished() { isPublished.store(true, ordering: .relaxed) }
}
