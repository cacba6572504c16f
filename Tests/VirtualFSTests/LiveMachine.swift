import CLinux
import Glibc
import LinuxIO
import TestSupport
import Testing
@testable import VirtualFS

/// Does the same to a live tree and to a plain directory, and compares what each says.
final class LiveMachine {
    let live: LiveSide
    let plain: PlainSide
    var random: SeededGenerator
    private let directory: TemporaryDirectory
    private(set) var kinds: [String: Int] = [:]
    private(set) var successes: [String: Int] = [:]

    static let handleCount = 6
    /// Inodes of the plain side that have, or once had, room without content. What `lseek` finds there depends on what happens to be
    /// in the page cache.
    var allocated: Set<UInt64> = []

    init(usesHandles: Bool, name: String) throws {
        random = SeededGenerator.named(name)
        directory = try TemporaryDirectory()
        let path = directory.path + "/plain"
        guard mkdir(path, 0o755) == 0 else { throw SystemError("mkdir", path: path) }
        live = LiveSide(try LiveFixture(usesHandles: usesHandles), handles: Self.handleCount)
        plain = PlainSide(path, handles: Self.handleCount)
        // Both sides make files on this thread: neither is to have a umask.
        larder_forget_umask()
    }

    /// False after a difference, which is reported.
    func compare(_ kind: String, _ what: String, _ live: Outcome, _ plain: Outcome) -> Bool {
        kinds[kind, default: 0] += 1
        if plain.code == 0 { successes[kind, default: 0] += 1 }
        #expect(live == plain, "\(kind) \(what): live \(live), plain \(plain); LARDER_SEED=\(random.seed)")
        return live == plain
    }

    func one(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }
    func pick<Value>(_ values: [Value]) -> Value { values[one(values.count)] }

    func path() -> [String] {
        let names = ["a", "b", "c", "d", "e", "long-\(String(repeating: "n", count: 200))", "\u{e9}\u{1f600}", "."  + "x"]
        return (0...one(3)).map { _ in pick(names) }
    }

    /// A chance in ten to forget nearly all that is known.
    func forget() { live.shrink(to: one(10) == 0 ? one(4) : 200, &random) }

    // MARK: - Comparing whole trees

    func treesAreEqual() -> Bool {
        let plain = Self.manifest(self.plain.base)
        let live = Self.manifest(self.live.fixture.path)
        #expect(live == plain, "LARDER_SEED=\(random.seed)")
        return live == plain && listingsAreEqual([])
    }

    /// What the tree lists is what is there.
    private func listingsAreEqual(_ path: [String]) -> Bool {
        let outcome = Outcome { () throws(FSError) in
            let node = path.isEmpty ? live.fixture.tree.root : try live.require(path).node
            var lines: [String] = []
            var offset: UInt64 = 0
            // In small pages, from offset to offset.
            while true {
                let page = try live.fixture.list(node, from: offset, limit: 3, wantsEntries: true)
                for item in page {
                    live.held.append(item.entry.attributes.node)
                    lines.append(String(decoding: item.name, as: UTF8.self) + " " + shown(item.entry.attributes))
                }
                guard let last = page.last else { break }
                offset = last.next
            }
            return lines.sorted().joined(separator: "\n")
        }
        let directory = plain.path(path)
        let names = (try? Directory(directory).list()) ?? []
        let lines = names.map { name in
            var object = larder_object()
            _ = larder_look(-100, directory + "/" + name, &object)
            return name + " " + shown(object)
        }
        guard compare("list", path.joined(separator: "/"), outcome, Outcome(result: 0) { lines.sorted().joined(separator: "\n") }) else { return false }
        for name in names {
            var status = stat()
            guard lstat(directory + "/" + name, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
            guard listingsAreEqual(path + [name]) else { return false }
        }
        return true
    }

    /// A line for each object: path, stat, content or target, attributes, and which names are the same object.
    static func manifest(_ base: String) -> [String] {
        var lines: [String] = []
        var first: [UInt64: String] = [:]
        func visit(_ relative: String) {
            let path = base + relative
            var object = larder_object()
            guard larder_look(-100, path, &object) == 0 else { return lines.append("\(relative): gone") }
            var line = relative + " " + shown(object)
            if object.links > 1, object.mode & S_IFMT != S_IFDIR {
                line += " same=" + (first[object.inode] ?? relative)
                if first[object.inode] == nil { first[object.inode] = relative }
            }
            switch object.mode & S_IFMT {
            case S_IFREG:
                let bytes = (try? OwnedDescriptor.open(path, O_RDONLY).readAll(limit: 1 << 24)) ?? nil
                line += " content=\(bytes.map { $0.hashValue } ?? -1) \(attributes(path))"
            case S_IFLNK:
                var target = [CChar](repeating: 0, count: 4097)
                readlink(path, &target, 4096)
                line += " -> " + String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            case S_IFDIR: line += " " + attributes(path)
            default: break
            }
            lines.append(line)
            guard object.mode & S_IFMT == S_IFDIR, let names = try? Directory(path).list() else { return }
            for name in names { visit(relative + "/" + name) }
        }
        visit("")
        return lines
    }

    static func attributes(_ path: String) -> String {
        var names = [CChar](repeating: 0, count: 1 << 16)
        let count = llistxattr(path, &names, names.count)
        guard count > 0 else { return "" }
        return names[..<count].split(separator: 0).map { name in
            var value = [UInt8](repeating: 0, count: 1 << 16)
            let name = Array(name) + [0]
            let size = lgetxattr(path, name, &value, value.count)
            return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "=\(value.prefix(max(0, size)))"
        }.sorted().joined(separator: ",")
    }
}
