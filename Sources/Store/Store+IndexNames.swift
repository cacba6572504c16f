import Glibc
import LinuxIO
import OCI

/// Indexes that came from outside: further names for them, and which shall not come again.
extension Store {
    /// Which indexes were found to lie: a file for each, named by its content key, with the reason in it.
    private static let refusals = "refused"

    private static func refusal(_ key: Digest) -> String { "\(refusals)/\(key.hex)" }

    /// Gives the index `key` one more name. False where that name is taken.
    @discardableResult
    public func linkTree(_ key: Digest, as name: Digest) throws(StoreError) -> Bool {
        try requireWritable()
        return try inStore(root) { () throws(SystemError) in
            guard try root.link(StoreKey.tree(key).path, to: StoreKey.tree(name).path) else { return false }
            try root.open(StoreLayout.trees, O_RDONLY | O_DIRECTORY).sync()
            return true
        }
    }

    /// Takes an index that was found to lie out of use, and remembers that it is not to be believed again. Its file goes to
    /// quarantine, for whoever wants to know.
    public func refuseTree(_ key: Digest, reason: String) throws(StoreError) {
        _ = try quarantine(StoreKey.tree(key).path, reason: reason)
        guard !isRefused(key) else { return }
        let file = try temporary("refusal")
        try file.write(Array((reason + "\n").utf8))
        try inStore(root) { () throws(SystemError) in
            try root.makeDirectories(Self.refusals)
            try root.replace(Self.refusal(key), by: file.name)
        }
        file.becamePublished()
    }

    /// Whether the index with this content key was found to lie.
    public func isRefused(_ key: Digest) -> Bool { root.exists(Self.refusal(key)) }
}
