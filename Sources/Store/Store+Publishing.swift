import Glibc
import LinuxIO

extension Store {
    /// A new empty file on the store's disk.
    /// - Parameter label: a word for whoever looks into `tmp/`; ASCII letters, digits and dashes.
    public func temporary(_ label: String) throws(StoreError) -> TemporaryFile {
        try temporary(label, mode: 0o444)
    }

    func temporary(_ label: String, mode: mode_t) throws(StoreError) -> TemporaryFile {
        try requireWritable()
        let name = nextTemporaryName(label)
        return try makingRoom(for: 0) { () throws(StoreError) in
            try inStore(root) { () throws(SystemError) in
                try TemporaryFile(name, in: root, mode: mode) { [weak self] bytes in (try? self?.makeRoom(for: bytes)) ?? false }
            }
        }
    }

    /// Gives the finished file its name for ever. The caller has proven that the content is what `key` says.
    /// - Returns: false where another had published it before; its content is the same, and this file is dropped.
    @discardableResult
    public func publish(_ file: TemporaryFile, as key: StoreKey) throws(StoreError) -> Bool {
        try publishBatch([(file, key)]) == 1
    }

    /// Publishes many finished files and waits for the disk once, more or less: 64 spans of 2 MiB took 510 ms one by one
    /// and 270 ms as a batch (ext4 on an idle virtual disk). No name appears before all the data is safe, so readers that
    /// wait for the first span of a batch wait for the whole of it: keep batches small where somebody reads behind.
    /// - Returns: how many were the first of their name.
    @discardableResult
    public func publishBatch(_ batch: [(file: TemporaryFile, key: StoreKey)]) throws(StoreError) -> Int {
        try requireWritable()
        let first = try makingRoom(for: 0) { () throws(StoreError) in
            try inStore(root) { () throws(SystemError) in
                try root.publish(batch.map { Publication($0.file.name, as: $0.key.path) })
            }
        }
        for item in batch { item.file.becamePublished() }
        // What another had published before has lost its only name by now.
        account(
            batch.compactMap { file, key in
                guard let status = try? file.descriptor.status(), status.st_nlink > 0 else { return nil }
                return (key, status.allocatedByteCount)
            })
        return first
    }

    /// Runs `body`, and once more after making room where the disk was full.
    private func makingRoom<Value>(for bytes: UInt64, _ body: () throws(StoreError) -> Value) throws(StoreError) -> Value {
        do throws(StoreError) {
            return try body()
        } catch {
            guard case .noSpace = error, try makeRoom(for: max(bytes, 1 << 20)) else { throw error }
            return try body()
        }
    }
}
