import Glibc
import LinuxIO

/// One name that two trees do not have alike.
public struct TreeChange: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// Only in the second.
        case added
        /// Only in the first.
        case removed
        /// In both, with these differences.
        case changed(Set<Aspect>)
    }

    public enum Aspect: String, Sendable, Hashable, CaseIterable, Comparable {
        case type, mode, owner, size, modified, target, content

        public static func < (left: Aspect, right: Aspect) -> Bool { left.rawValue < right.rawValue }
    }

    /// From the roots, without a leading slash; any bytes but NUL.
    public let path: [UInt8]
    public let kind: Kind
    /// Whether it is a directory (in the second, if there).
    public let isDirectory: Bool
}

/// How two trees differ.
public enum TreeDifference {
    /// How files of the same size are told apart.
    public enum Depth: Sendable {
        /// By their times.
        case times
        /// By their content; times do not count.
        case content
    }

    /// Every difference, a directory before what is in it, names in the order of their bytes. Everything in a directory that only one of
    /// them has is listed too.
    /// - Parameter body: called for each; can throw to end it.
    public static func find(
        from first: Directory, to second: Directory, depth: Depth = .times, _ body: (TreeChange) throws(SystemError) -> Void
    ) throws(CacheError) {
        try inCache { () throws(SystemError) in try compare(first, second, [], depth, 0, body) }
    }

    /// As `find`, collected.
    public static func all(from first: Directory, to second: Directory, depth: Depth = .times) throws(CacheError) -> [TreeChange] {
        var found: [TreeChange] = []
        try find(from: first, to: second, depth: depth) { found.append($0) }
        return found
    }

    private static func compare(
        _ first: Directory?, _ second: Directory?, _ prefix: [UInt8], _ depth: Depth, _ level: Int, _ body: (TreeChange) throws(SystemError) -> Void
    ) throws(SystemError) {
        guard level < TreeWalk.depthLimit else { throw SystemError("diff", path: (second ?? first)?.path ?? "", code: ELOOP) }
        var names: [[UInt8]: (old: stat?, new: stat?)] = [:]
        if let first { for entry in try first.entries() { names[entry.name, default: (nil, nil)].old = try first.status(of: entry) } }
        if let second { for entry in try second.entries() { names[entry.name, default: (nil, nil)].new = try second.status(of: entry) } }
        for (name, (old, new)) in names.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let entry = DirectoryEntry(name: name)
            let path = prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
            switch (old, new) {
            case (nil, nil): continue
            case (nil, let new?): try body(TreeChange(path: path, kind: .added, isDirectory: new.isDirectory))
            case (let old?, nil): try body(TreeChange(path: path, kind: .removed, isDirectory: old.isDirectory))
            case (let old?, let new?):
                let aspects = try aspects(old, first, new, second, entry, depth)
                if !aspects.isEmpty { try body(TreeChange(path: path, kind: .changed(aspects), isDirectory: new.isDirectory)) }
            }
            let before = old?.isDirectory == true ? try first?.directory(entry) : nil
            let after = new?.isDirectory == true ? try second?.directory(entry) : nil
            if before != nil || after != nil { try compare(before, after, path, depth, level + 1, body) }
        }
    }

    private static func aspects(
        _ old: stat, _ first: Directory?, _ new: stat, _ second: Directory?, _ entry: DirectoryEntry, _ depth: Depth
    ) throws(SystemError) -> Set<TreeChange.Aspect> {
        guard old.type == new.type else { return [.type] }
        var aspects: Set<TreeChange.Aspect> = []
        if old.st_mode != new.st_mode { aspects.insert(.mode) }
        if old.st_uid != new.st_uid || old.st_gid != new.st_gid { aspects.insert(.owner) }
        if old.isSymlink, try first?.target(of: entry) != second?.target(of: entry) { aspects.insert(.target) }
        guard old.isRegular else { return aspects }
        if old.st_size != new.st_size { aspects.insert(.size) }
        switch depth {
        case .times:
            if old.st_mtim.tv_sec != new.st_mtim.tv_sec || old.st_mtim.tv_nsec != new.st_mtim.tv_nsec { aspects.insert(.modified) }
        case .content:
            let isSame = old.identity == new.identity
            if !isSame, old.st_size == new.st_size, let first, let second, try !sameContent(first, second, entry) { aspects.insert(.content) }
        }
        return aspects
    }

    private static func sameContent(_ first: Directory, _ second: Directory, _ entry: DirectoryEntry) throws(SystemError) -> Bool {
        guard let left = try first.open(entry, O_RDONLY), let right = try second.open(entry, O_RDONLY) else { return false }
        var offset: UInt64 = 0
        while true {
            let one = try left.read(1 << 18, at: offset)
            guard one == (try right.read(1 << 18, at: offset)) else { return false }
            if one.isEmpty { return true }
            offset += UInt64(one.count)
        }
    }
}
