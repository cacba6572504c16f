import LinuxIO
import OCI
import TreeIndex

extension Store {
    public func hasTree(_ key: Digest) -> Bool { has(.tree(key)) }

    /// Maps and validates an index; nil where it has to be made. A damaged one is moved to quarantine and logged, one that
    /// another version of this program made is removed, and both count as absent.
    public func openTree(_ key: Digest) throws(StoreError) -> TreeIndex? {
        guard let file = try open(.tree(key)) else { return nil }
        let map = try inStore(root) { () throws(SystemError) in try MappedFile(file) }
        do throws(TreeIndexError) {
            return try TreeIndex(validating: map)
        } catch {
            let path = StoreKey.tree(key).path
            if case .otherVersion = error {
                // Nothing is wrong with it, it is made again.
                log.info("index of another version, not used", metadata: ["file": "\(path)", "reason": "\(error)"])
                if !isReadOnly { _ = try remove(.tree(key)) }
            } else if isReadOnly {
                log.error("damaged, not used", metadata: ["file": "\(path)", "reason": "\(error)"])
            } else {
                _ = try quarantine(path, reason: "\(error)")
            }
            return nil
        }
    }

    @discardableResult
    public func publishTree(_ file: TemporaryFile, _ key: Digest) throws(StoreError) -> Bool {
        try publish(file, as: .tree(key))
    }

    /// Writes and publishes an index.
    @discardableResult
    public func publishTree(_ document: IndexDocument, _ key: Digest) throws(StoreError) -> Bool {
        let file = try temporary("tree")
        try document.write { piece throws(StoreError) in try file.write(piece) }
        return try publishTree(file, key)
    }

    /// The number of the tree that `key` names, from 1 on: the same for ever, in every process and after every restart.
    /// Handed out at the first asking.
    /// - Parameter key: 1 to 255 printable ASCII characters without a space.
    public func serial(for key: String) throws(StoreError) -> UInt32 {
        if isReadOnly {
            guard let serial = try serialNumbers.find(key) else { throw .readOnly(store: path) }
            return serial
        }
        return try serialNumbers.assign(key)
    }

    /// All keys that have a serial, in order: the first is that of serial 1.
    public func serialKeys() throws(StoreError) -> [String] { try serialNumbers.keys() }

    /// The key of a serial that may come from outside, such as an NFS handle; nil where it was never handed out.
    public func key(ofSerial serial: UInt32) throws(StoreError) -> String? { try serialNumbers.key(of: serial) }
}
