import Glibc
import LinuxIO
import Logging
import OCI
import Store

/// The caches of a store: their names and definitions, and the way to a lease. Any number of processes may use the same
/// caches; nothing here needs a daemon.
///
/// Every call may wait for the disk.
public final class CacheLibrary: Sendable {
    public let store: Store
    public let log: Logger
    let identity: HolderIdentity

    /// - Parameter command: what the records of this process's leases say that it is, such as `larder run npm`.
    public init(_ store: Store, command: String = "larder") {
        self.store = store
        log = store.log
        identity = HolderIdentity(command: command)
    }

    /// What is there, in the order of the encoded names.
    public func names() throws(CacheError) -> [CacheName] {
        guard let caches = try present() else { return [] }
        var names: [CacheName] = []
        for entry in try inCache({ () throws(SystemError) in try caches.entries() }) {
            if let name = try name(encoded: entry.name) { names.append(name) }
        }
        return names.sorted()
    }

    /// The cache whose directory is called `component`, in the store and in the mount; nil where there is none.
    public func name(encoded component: [UInt8]) throws(CacheError) -> CacheName? {
        guard let text = String(validating: component, as: UTF8.self), !text.isEmpty, !text.hasPrefix("."), !text.contains("/") else { return nil }
        guard let caches = try present() else { return nil }
        if let name = CacheName(encoded: component) { return caches.exists("\(text)/\(CacheLayout.definition)") ? name : nil }
        // An over-long name: what it is stands in its definition.
        guard text.contains("%-"), let definition = try CacheDefinition.read(in: caches, text), definition.name.encoded == text else { return nil }
        return definition.name
    }

    /// - Throws: `missing`; `damaged` where its file says what this program does not understand.
    public func definition(of name: CacheName) throws(CacheError) -> CacheDefinition { try place(of: name).definition() }

    /// Whether there is such a cache.
    public func exists(_ name: CacheName) -> Bool {
        (try? present())??.exists("\(name.encoded)/\(CacheLayout.definition)") ?? false
    }

    /// The main instance's directory, to look at. Whoever changes something in it needs a lease.
    public func mainDirectory(of name: CacheName) throws(CacheError) -> Directory {
        let place = try place(of: name)
        return try inCache { () throws(SystemError) in try place.directory.directory(CacheLayout.instance(CacheLayout.main)) }
    }

    /// The main instance's path: the store's, and what follows.
    public func mainPath(of name: CacheName) -> String { path(of: name) + "/" + CacheLayout.instance(CacheLayout.main) }

    func path(of name: CacheName) -> String { "\(store.path)/caches/\(name.encoded)" }

    func place(of name: CacheName) throws(CacheError) -> CachePlace {
        guard let caches = try present(), let place = try CachePlace(name, in: caches) else { throw .missing(name) }
        return place
    }

    /// The folder of all caches; nil where there is none yet.
    func present() throws(CacheError) -> Directory? {
        try inCache { () throws(SystemError) in try store.directory.directoryIfPresent("caches") }
    }
}

/// One cache's directory, open. It may be removed, and made again under the same name, while it is open.
final class CachePlace: Sendable {
    let name: CacheName
    let directory: Directory
    private let caches: Directory

    /// nil where there is no such cache.
    init?(_ name: CacheName, in caches: Directory) throws(CacheError) {
        guard let directory = try inCache({ () throws(SystemError) in try caches.directoryIfPresent(name.encoded) }) else { return nil }
        self.name = name
        self.directory = directory
        self.caches = caches
    }

    /// Whether this is still the cache of that name.
    var isCurrent: Bool {
        guard let mine = try? directory.descriptor.status(), let there = try? caches.status(name.encoded) else { return false }
        return mine.st_ino == there.st_ino && mine.st_dev == there.st_dev
    }

    func definition() throws(CacheError) -> CacheDefinition {
        guard let definition = try CacheDefinition.read(in: caches, name.encoded) else { throw .missing(name) }
        return definition
    }
}

extension CacheDefinition {
    /// nil where there is no such cache.
    static func read(in caches: Directory, _ encoded: String) throws(CacheError) -> CacheDefinition? {
        let path = "\(encoded)/\(CacheLayout.definition)"
        guard let file = try inCache({ () throws(SystemError) in try caches.openIfPresent(path, O_RDONLY | O_NOFOLLOW) }) else { return nil }
        guard let bytes = try inCache({ () throws(SystemError) in try file.readAll(limit: CacheLayout.definitionLimit) }) else {
            throw .damaged(path: "\(caches.path)/\(path)", reason: "it is larger than \(CacheLayout.definitionLimit) bytes")
        }
        do {
            return try JSONText.decode(CacheDefinition.self, from: bytes)
        } catch {
            throw .damaged(path: "\(caches.path)/\(path)", reason: error.asDecodingText)
        }
    }
}
