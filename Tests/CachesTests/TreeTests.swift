import Caches
import Glibc
import LinuxIO
import Testing
import TestSupport

/// Sizes, copies, differences and pruning, against the tools that everybody has.
@Suite struct TreeTests {
    /// A directory on a real disk, with what trees can hold.
    static func tree(_ random: inout SeededGenerator, files: Int = 60) throws -> TemporaryDirectory {
        let base = try TemporaryDirectory()
        try base.directory().makeDirectories("tree")
        let top = try Directory(base.path + "/tree")
        var names: [String] = []
        for number in 0..<files {
            let folder = (0..<Int.random(in: 0...3, using: &random)).map { _ in "d\(Int.random(in: 0...3, using: &random))/" }.joined()
            let name = folder + "file \(number)"
            if !folder.isEmpty { try top.makeDirectories(String(folder.dropLast())) }
            switch Int.random(in: 0..<8, using: &random) {
            case 0 where !names.isEmpty: try top.link(names.randomElement(using: &random)!, to: name)
            case 1:
                let parent = try Directory(top.path + "/" + folder)
                #expect(symlinkat("nowhere/\(number)", parent.descriptor.raw, "file \(number)") == 0)
            case 2:
                let file = try top.open(name, O_WRONLY | O_CREAT)
                try file.write(random.bytes(5000), at: UInt64.random(in: 0...(3 << 20), using: &random))
            default:
                let file = try top.open(name, O_WRONLY | O_CREAT, mode: 0o600)
                try file.write(random.bytes(Int.random(in: 0...20_000, using: &random)))
                fchmod(file.raw, [0o644, 0o600, 0o755, 0o4755, 0o444].randomElement(using: &random)!)
                futimens(file.raw, [timespec(tv_sec: 1_600_000_000, tv_nsec: number), timespec(tv_sec: 1_500_000_000 + number, tv_nsec: 123_456_789)])
                names.append(name)
            }
        }
        let odd: [UInt8] = [0xff, 0xfe, 0x0a]
        #expect(mkdirat(top.descriptor.raw, odd.map { CChar(bitPattern: $0) } + [0], 0o750) == 0)
        // Blocks are given to files when they are written back: from here on they stay the same.
        try synchronize(base)
        return base
    }

    private static func synchronize(_ base: TemporaryDirectory) throws {
        #expect(try ChildProcess("sync", ["-f", base.path], logPath: "/dev/null").wait() == 0)
    }

    @Test func sizesAreDus() async throws {
        var random = SeededGenerator.named("sizesAreDus")
        for _ in 0..<5 {
            let base = try Self.tree(&random)
            var measure = TreeMeasure()
            try measure.add(try Directory(base.path + "/tree"))
            let du = try await Shell.check("du", ["-s", "--block-size=1", base.path + "/tree"])
            #expect(UInt64(du.text.prefix { $0 != "\t" }) == measure.total.allocatedBytes)
            let names = try await Shell.check("find", [base.path + "/tree", "-printf", "%y %i %s\n"])
            let lines = Set(names.text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) })
            #expect(UInt64(lines.filter { $0[0] == "d" }.count) == measure.total.directories)
            #expect(UInt64(lines.filter { $0[0] != "d" }.count) == measure.total.files)
            #expect(lines.filter { $0[0] != "d" }.reduce(0) { $0 + UInt64($1[2])! } == measure.total.apparentBytes)
        }
    }

    @Test func aCopyIsCps() async throws {
        var random = SeededGenerator.named("aCopyIsCps")
        for _ in 0..<5 {
            let base = try Self.tree(&random)
            try await Shell.check("cp", ["-a", base.path + "/tree", base.path + "/cp"])
            try base.directory().makeDirectories("ours")
            let source = try Directory(base.path + "/tree")
            let ours = try Directory(base.path + "/ours")
            try TreeCopy.copy(contentsOf: source, to: ours, withRoot: true)
            func list(_ name: String) async throws -> String {
                let output = try await Shell.check("find", [base.path + "/" + name, "-printf", "%P %y %m %U %G %s %T@ %n %l\n"])
                return output.text.split(separator: "\n").sorted().joined(separator: "\n")
            }
            #expect(try await list("ours") == list("cp"))
            #expect(try TreeDifference.all(from: source, to: ours) == [])
            #expect(try TreeDifference.all(from: source, to: ours, depth: .content) == [])
            try Self.synchronize(base)
            var sizes: [UInt64] = []
            for tree in [source, ours] {
                var measure = TreeMeasure()
                try measure.add(tree)
                sizes.append(measure.total.allocatedBytes)
            }
            #expect(sizes[1] <= sizes[0] + 1 << 16, "holes stay holes")
        }
    }

    @Test func aCopyReplacesOrKeepsWhatIsThere() throws {
        let base = try TemporaryDirectory()
        let top = try base.directory()
        try top.write("source/a", "new")
        try top.write("source/b/c", "new")
        for existing in [TreeCopy.Existing.keep, .replace] {
            let name = existing == .keep ? "kept" : "replaced"
            try top.write("\(name)/a", "old")
            try top.write("\(name)/z", "old")
            let target = try top.directory(name)
            let copy = try TreeCopy.copy(contentsOf: try top.directory("source"), to: target, existing: existing)
            #expect(copy.files == (existing == .keep ? 1 : 2))
            #expect(try target.text("a") == (existing == .keep ? "old" : "new"))
            #expect(try target.text("b/c") == "new")
            #expect(try target.list() == ["a", "b", "z"])
        }
        try TreeCopy.copy(Array("a".utf8), of: try top.directory("source"), to: top, as: Array("single".utf8))
        #expect(try top.text("single") == "new")
        #expect(throws: CacheError.self) { try TreeCopy.copy(Array("absent".utf8), of: top, to: top, as: Array("x".utf8)) }
    }

    @Test func aPlantedLinkLeadsNoCopyOutside() throws {
        let base = try TemporaryDirectory()
        let top = try base.directory()
        try top.write("outside/secret", "secret")
        try top.write("source/d/file", "new")
        try top.makeDirectories("target")
        #expect(symlinkat("../outside", try keep(top.directory("target")).descriptor.raw, "d") == 0)
        #expect(throws: CacheError.self) { try TreeCopy.copy(contentsOf: try top.directory("source"), to: try top.directory("target")) }
        #expect(try top.directory("outside").list() == ["secret"])
    }

    private func keep(_ directory: Directory) -> Directory {
        kept.update { $0.append(directory) }
        return directory
    }

    private let kept = Monitor<[Directory]>([])

    @Test func differencesAreThoseThatWereMade() throws {
        var random = SeededGenerator.named("differencesAreThoseThatWereMade")
        let base = try TemporaryDirectory()
        let top = try base.directory()
        for name in ["same", "gone", "size", "content", "time", "mode", "kind", "dir/inner", "dir/lost"] { try top.write("a/\(name)", name + " in here") }
        try TreeCopy.copy(contentsOf: try top.directory("a"), to: { try top.makeDirectories("b"); return try top.directory("b") }())
        let b = try top.directory("b")
        try b.remove("gone")
        try b.removeTree("dir/lost")
        try b.write("size", "longer than it was")
        for name in ["size", "content"] {
            let file = try b.open(name, O_WRONLY)
            if name == "content" { try file.write(random.bytes(3), at: 0) }
            futimens(file.raw, [timespec(), timespec(tv_sec: 5, tv_nsec: 0)])
        }
        let time = try b.open("time", O_WRONLY)
        futimens(time.raw, [timespec(), timespec(tv_sec: 5, tv_nsec: 0)])
        #expect(chmod(b.path + "/mode", 0o700) == 0)
        try b.remove("kind")
        try b.makeDirectories("kind/below")
        try b.write("new", "")

        func found(_ depth: TreeDifference.Depth) throws -> [String] {
            try TreeDifference.all(from: try top.directory("a"), to: b, depth: depth).map { change in
                let path = String(decoding: change.path, as: UTF8.self)
                return switch change.kind {
                case .added: "+\(path)"
                case .removed: "-\(path)"
                case .changed(let aspects): "\(path): \(aspects.sorted().map(\.rawValue).joined(separator: " "))"
                }
            }
        }
        let common = ["-dir/lost", "-gone", "kind: type", "+kind/below", "mode: mode", "+new"]
        let byContent = try found(.content)
        #expect(byContent == ["content: content"] + common + ["size: size"])
        let byTimes = try found(.times)
        #expect(byTimes == ["content: modified"] + common + ["size: modified size", "time: modified"])
    }
}
