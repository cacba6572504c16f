import Glibc
import LinuxIO
import Synchronization

/// A file being written, open for reading and writing, in the store's `tmp/`. Goes with this object unless it is published.
public final class TemporaryFile: Sendable {
    public let descriptor: OwnedDescriptor
    /// Path below the store.
    let name: String
    private let root: Directory
    private let isPublished = Atomic(false)

    /// - Parameter mode: objects are writable by nobody, so that nobody changes one by accident.
    init(_ name: String, in root: Directory, mode: mode_t) throws(SystemError) {
        descriptor = try root.open(name, O_RDWR | O_CREAT | O_EXCL, mode: mode)
        self.name = name
        self.root = root
    }

    deinit {
        if !isPublished.load(ordering: .relaxed) { _ = try? root.remove(name) }
    }

    /// Appends all of `bytes`.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        try inStore(root) { () throws(SystemError) in try descriptor.write(bytes) }
    }

    public func write(_ bytes: [UInt8]) throws(StoreError) {
        try inStore(root) { () throws(SystemError) in try descriptor.write(bytes) }
    }

    /// Writes all of `bytes` at `offset`, counted from the start of the file.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StoreError) {
        try inStore(root) { () throws(SystemError) in try descriptor.write(bytes, at: offset) }
    }

    /// The name is gone from `tmp/`, or will be: nothing is left to clean.
    func becamePublished() { isPublished.store(true, ordering: .relaxed) }
}
