import Archive

@testable import TreeIndex

/// What unpacking layers one over the other does to a filesystem: a dictionary of paths that is changed member by member.
/// Slow, plain, and written without a look at the code that it judges.
struct NaiveFilesystem {
    struct Refused: Error {}

    final class Inode {
        var entry: ArchiveEntry
        var pendingTarget: String?
        init(_ entry: ArchiveEntry) { self.entry = entry }
        var isDirectory: Bool { entry.kind == .directory && pendingTarget == nil }
    }

    private(set) var files: [String: Inode] = [:]
    // Paths that the layer being applied has made or gone through.
    private var own: Set<String> = []

    init() { files[""] = Self.implicitDirectory() }

    private static func implicitDirectory() -> Inode { Inode(.directory("", mode: 0o755, mtime: 0)) }

    mutating func apply(_ layer: [ArchiveEntry]) throws {
        own = [""]
        for entry in layer {
            let (parent, name) = Self.split(entry.path)
            if name == ".wh..wh..opq" {
                removeChildren(of: parent)
            } else if name.hasPrefix(".wh.") {
                remove(Self.join(parent, String(name.dropFirst(4))))
            }
        }
        for entry in layer { try apply(entry) }
        for path in files.keys.sorted() where files[path]?.pendingTarget != nil {
            files[path] = try resolve(path)
        }
    }

    private mutating func apply(_ entry: ArchiveEntry) throws {
        let (parent, name) = Self.split(entry.path)
        try makeParents(parent)
        if name.hasPrefix(".wh.") { return }
        let path = Self.join(parent, name)
        if path.isEmpty {
            guard entry.kind == .directory else { throw Refused() }
        }
        if entry.kind == .directory {
            if let old = files[path], old.isDirectory { old.entry = entry } else {
                remove(path)
                files[path] = Inode(entry)
            }
            own.insert(path)
            return
        }
        let target = text(LayerSpelling.plain(entry.linkTarget))
        if entry.kind == .hardlink, target == path { throw Refused() }
        remove(path)
        if entry.kind == .hardlink {
            if own.contains(target), let inode = files[target], inode.pendingTarget == nil {
                if inode.isDirectory { throw Refused() }
                files[path] = inode
            } else {
                files[path] = Inode(entry)
                files[path]?.pendingTarget = target
            }
        } else {
            files[path] = Inode(entry)
        }
        own.insert(path)
    }

    private mutating func makeParents(_ path: String) throws {
        guard !path.isEmpty else { return }
        try makeParents(Self.split([UInt8](path)).0)
        if let file = files[path], !file.isDirectory {
            if own.contains(path) { throw Refused() }
            remove(path)
        }
        if files[path] == nil { files[path] = Self.implicitDirectory() }
        own.insert(path)
    }

    private func resolve(_ path: String) throws -> Inode {
        var current = path
        for _ in 0...files.count {
            guard let inode = files[current] else { throw Refused() }
            guard let next = inode.pendingTarget else {
                if inode.isDirectory { throw Refused() }
                return inode
            }
            current = next
        }
        throw Refused()
    }

    private mutating func remove(_ path: String) {
        files[path] = nil
        own.remove(path)
        removeChildren(of: path)
    }

    private mutating func removeChildren(of directory: String) {
        let prefix = directory.isEmpty ? "" : directory + "/"
        for path in Array(files.keys) where path != "" && path.hasPrefix(prefix) {
            files[path] = nil
            own.remove(path)
        }
    }

    private static func split(_ path: [UInt8]) -> (String, String) {
        var parts = text(path).split(separator: "/").filter { $0 != "." }
        let name = parts.popLast() ?? ""
        return (parts.joined(separator: "/"), String(name))
    }

    private static func join(_ parent: String, _ name: String) -> String { parent.isEmpty ? name : parent + "/" + name }

    /// In the form of `TreeIndex.listing`.
    var listing: [String] {
        var names: [ObjectIdentifier: [String]] = [:]
        for (path, inode) in files { names[ObjectIdentifier(inode), default: []].append(path) }
        return files.map { path, inode in
            let entry = inode.entry
            return TreeIndex.describe(
                path: path, kind: "\(NodeKind(entry.kind))", mode: entry.mode, uid: entry.uid,
                size: entry.kind == .symlink ? UInt64(entry.linkTarget.count) : entry.size, mtime: entry.modified.seconds,
                target: entry.kind == .symlink ? text(entry.linkTarget) : "",
                attributes: entry.attributes.map { "\(text($0.name))=\(text($0.value))" }.joined(separator: ","),
                names: inode.isDirectory ? [] : (names[ObjectIdentifier(inode)] ?? []).sorted())
        }.sorted()
    }
}

enum LayerSpelling {
    static func plain(_ path: [UInt8]) -> [UInt8] {
        [UInt8](text(path).split(separator: "/").filter { $0 != "." }.joined(separator: "/"))
    }
}
