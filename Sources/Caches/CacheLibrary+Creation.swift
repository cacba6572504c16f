import Glibc
import LinuxIO
import Store

extension CacheLibrary {
    /// Makes a cache: complete, or not at all.
    /// - Throws: `exists`, `store`, `system`.
    public func create(_ name: CacheName, _ settings: CacheSettings = CacheSettings()) throws(CacheError) {
        let caches = try inStore { () throws(StoreError) in try store.caches() }
        if exists(name) { throw .exists(name) }
        let aside = try inStore { () throws(StoreError) in try store.aside("cache") }
        let top = store.directory
        do throws(SystemError) {
            try top.makeDirectories(aside, mode: 0o700)
            let directory = try top.directory(aside)
            for folder in CacheLayout.directories { try directory.makeDirectories(folder, mode: 0o700) }
            try InstanceRoot.make(CacheLayout.instance(CacheLayout.main), in: directory, settings)
            let definition = try directory.open(CacheLayout.definition, O_WRONLY | O_CREAT | O_EXCL)
            try definition.write(JSONFile.bytes(CacheDefinition(name: name, settings: settings)))
            try definition.sync()
            try directory.sync()
            // A directory that is not empty is never replaced: of two who make the cache, one is first.
            try top.rename(aside, to: "caches/\(name.encoded)")
            try caches.sync()
        } catch {
            _ = try? top.removeTree(aside)
            if error.code == ENOTEMPTY || error.code == EEXIST { throw .exists(name) }
            throw .system(error)
        }
    }

    /// The cache's definition; makes it with `settings` where there is none.
    @discardableResult
    public func openOrCreate(_ name: CacheName, _ settings: @autoclosure () -> CacheSettings = CacheSettings()) throws(CacheError) -> CacheDefinition {
        do throws(CacheError) {
            return try definition(of: name)
        } catch {
            guard case .missing = error else { throw error }
        }
        do throws(CacheError) {
            try create(name, settings())
        } catch {
            guard case .exists = error else { throw error }
        }
        return try definition(of: name)
    }

    /// Changes what can be chosen about a cache. Readers see the old file or the new. Owner and mode are those of
    /// instances made from now on.
    public func update(_ name: CacheName, _ change: (inout CacheSettings) -> Void) throws(CacheError) {
        let place = try place(of: name)
        let book = try CacheBook(place.directory, LockWaiter())
        var definition = try place.definition()
        change(&definition.settings)
        try inCache { () throws(SystemError) in
            try JSONFile.replace(CacheLayout.definition, in: place.directory, with: JSONFile.bytes(definition))
        }
        _ = consume book
    }

    /// Removes a cache with all its instances. In one step for whoever looks; then the files go.
    /// - Throws: `inUse` where anybody holds an instance, or waits for one; `missing`.
    public func remove(_ name: CacheName) throws(CacheError) {
        let place = try place(of: name)
        let stake = try WholeCache(place)
        guard place.isCurrent else { throw .missing(name) }
        let aside = try inStore { () throws(StoreError) in try store.aside("removed") }
        try inCache { () throws(SystemError) in
            try store.directory.rename("caches/\(name.encoded)", to: aside)
            try store.directory.syncParent(of: "caches/\(name.encoded)")
        }
        // Who waited for one of its locks sees that the cache is gone.
        _ = consume stake
        try inCache { () throws(SystemError) in _ = try store.directory.removeTree(aside) }
    }
}

/// The root directory of an instance.
enum InstanceRoot {
    static func make(_ name: String, in directory: Directory, _ settings: CacheSettings) throws(SystemError) {
        try directory.makeDirectories(name, mode: 0o700)
        let made = try directory.directory(name)
        if let owner = settings.owner, owner != CacheOwner(uid: geteuid(), gid: getegid()) {
            guard fchown(made.descriptor.raw, owner.uid, owner.gid) == 0 else { throw SystemError("chown", path: made.path) }
        }
        // After chown, which takes set-id bits away; and whatever the umask is.
        guard fchmod(made.descriptor.raw, settings.mode) == 0 else { throw SystemError("chmod", path: made.path) }
        try made.sync()
    }
}
