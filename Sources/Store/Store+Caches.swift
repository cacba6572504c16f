import Glibc
import LinuxIO

extension Store {
    /// Where the caches are: below `root`, under `StoreLayout.caches`. What they hold and how is the Caches module's.
    ///
    /// For the store's owner alone: who may use a cache gets it by a lease or a mount, which do not need the way to it.
    /// - Throws: `readOnly` where there is none yet and this user cannot make it.
    public func caches() throws(StoreError) -> Directory {
        if let there = try inStore(root, { () throws(SystemError) in try root.directoryIfPresent(StoreLayout.caches) }) { return there }
        try requireWritable()
        return try inStore(root) { () throws(SystemError) in
            try root.makeDirectories(StoreLayout.caches, mode: 0o700)
            return try root.directory(StoreLayout.caches)
        }
    }

    /// The store's directory, to rename between `caches/` and a name that `aside` gave.
    public var directory: Directory { root }

    /// A name below `directory` where something can be built or taken apart that is no part of the store: whoever
    /// next opens the store alone removes what is left there.
    /// - Parameter label: a word for whoever looks into `tmp/`; ASCII letters, digits and dashes.
    public func aside(_ label: String) throws(StoreError) -> String {
        try requireWritable()
        return nextTemporaryName(label)
    }
}
