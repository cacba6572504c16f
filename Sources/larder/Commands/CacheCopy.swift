import ArgumentParser
import Caches
import Glibc
import LinuxIO

struct CacheCopy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cp", abstract: "Copy files out of a cache, or into one.",
        discussion: """
            One side is CACHE:PATH, the other a path here. Owners (for root), modes, times, attributes, links and holes are
            kept, as by `cp -a`; directories are merged. As with cp, what is copied to a directory that is there goes into
            it. CACHE: or a slash at the end of a directory means what is in it.

            Reading takes a read-only lease. Writing takes one beside `shared` users, and alone where the cache is not
            shared; each file appears when it is complete.

            EXAMPLES
              larder cache cp npm: /backup/npm
              larder cache cp wheels/ pip:wheels
            """
    )

    @Argument(help: "CACHE:PATH or a path.")
    var source: String

    @Argument(help: "A path or CACHE:PATH.")
    var destination: String

    @Flag(name: .long, help: "Leave files that are there already as they are.")
    var keep = false

    @OptionGroup var output: OutputOptions
    @OptionGroup var lock: LockOptions
    @OptionGroup var store: StoreOptions

    private struct Document: Encodable {
        let cache: CacheName
        let files: UInt64
        let bytes: UInt64
    }

    func run() async throws {
        let library = try Settings(store: store).openCaches(command: "larder cache cp")
        let from = try CachePlaceArgument(source, in: library)
        let to = try CachePlaceArgument(destination, in: library)
        let existing: TreeCopy.Existing = keep ? .keep : .replace
        switch (from, to) {
        case (.cache(let name, let path), .host(let target)):
            try await copy(LeaseRequest(name, readOnly: true), library) { root in
                let contents = path.isEmpty || source.hasSuffix("/") || source.hasSuffix("/.")
                return try Self.copy(path, of: root, contents: contents, to: target, in: nil, existing)
            }
        case (.host(let path), .cache(let name, let target)):
            let sharing: Sharing = try library.definition(of: name).settings.sharing == .shared ? .shared : .locked
            try await copy(LeaseRequest(name, sharing), library) { root in
                let contents = path.hasSuffix("/") || path.hasSuffix("/.") || LastName(path) == nil
                return try Self.copy(path, of: nil, contents: contents, to: target, in: root, existing)
            }
        default:
            throw Failure(.usage, "one of '\(source)' and '\(destination)' must be CACHE:PATH, and the other a path here")
        }
    }

    private func copy(_ request: LeaseRequest, _ library: CacheLibrary, _ body: (Directory) throws -> TreeCopy) async throws {
        let leases = try await library.acquireAloud([request], timeout: lock.limit())
        let result: TreeCopy
        do {
            guard let root = leases[request.cache]?.directory else { throw CacheError.missing(request.cache) }
            result = try body(root)
        } catch {
            // Every file is either there or not: nothing is unclean.
            try? leases.release()
            throw error
        }
        try leases.release()
        if output.json { return try Terminal.json(Document(cache: request.cache, files: result.files, bytes: result.bytes)) }
        Terminal.output("\(result.files.filesText), \(result.bytes.bytesText)")
    }

    /// - Parameters:
    ///   - source, target: directories that paths are relative to and cannot leave; nil is the host.
    private static func copy(
        _ path: String, of source: Directory?, contents: Bool, to target: String, in cache: Directory?, _ existing: TreeCopy.Existing
    ) throws -> TreeCopy {
        if contents {
            let from = try open(path, in: source)
            let into = try openOrMake(target, in: cache)
            return try TreeCopy.copy(contentsOf: from, to: into, existing: existing)
        }
        guard let last = LastName(path) else { throw Failure(.usage, "'\(path)': no file or directory with a name") }
        let from = try open(last.parent, in: source)
        let name = Array(last.name.utf8)
        if let into = try openIfDirectory(target, in: cache) {
            return try TreeCopy.copy(name, of: from, to: into, as: name, existing: existing)
        }
        guard let new = LastName(target) else { throw Failure(.usage, "'\(target)': no file or directory with a name") }
        return try TreeCopy.copy(name, of: from, to: try open(new.parent, in: cache), as: Array(new.name.utf8), existing: existing)
    }

    private static func open(_ path: String, in directory: Directory?) throws -> Directory {
        guard let directory else { return try Directory(path) }
        return path.isEmpty || path == "." ? directory : try directory.directory(path)
    }

    private static func openIfDirectory(_ path: String, in directory: Directory?) throws -> Directory? {
        do {
            return try open(path, in: directory)
        } catch let error as SystemError where error.code == ENOENT || error.code == ENOTDIR {
            return nil
        }
    }

    private static func openOrMake(_ path: String, in directory: Directory?) throws -> Directory {
        if let there = try openIfDirectory(path, in: directory) { return there }
        if let directory {
            try directory.makeDirectories(path)
        } else if mkdir(path, 0o755) != 0 {
            throw SystemError("mkdir", path: path)
        }
        return try open(path, in: directory)
    }
}
