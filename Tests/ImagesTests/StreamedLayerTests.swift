import Archive
import OCI
import Store
import TestSupport
import Testing
import TreeIndex
@testable import Images

/// Layers without a table of contents: unpacked in one pass, and equal to their archives.
@Suite struct StreamedLayerTests {
    enum Packing: CaseIterable {
        case plain, gzip, zstd

        func pack(_ tar: [UInt8]) async throws -> LayerFixture {
            switch self {
            case .plain: LayerFixture.plain(tar: tar)
            case .gzip: try await LayerFixture.gzip(tar: tar)
            case .zstd: try await LayerFixture.zstd(tar: tar)
            }
        }
    }

    /// A layer of everything: many small files, some that are large, links.
    static func members(_ random: inout SeededGenerator) -> [TarMember] {
        var members: [TarMember] = []
        var paths: [String] = []
        for number in 0..<Int.random(in: 1...120, using: &random) {
            let path = "d\(Int.random(in: 0..<6, using: &random))/f\(number)"
            switch Int.random(in: 0..<12, using: &random) {
            case 0: members.append(.symlink(path, to: "../\(number)"))
            case 1 where !paths.isEmpty: members.append(.hardLink(path, to: paths.randomElement(using: &random) ?? ""))
            case 2 where number % 4 == 0:
                // Around the size from which a file is an object.
                members.append(.file(path, random.bytes(Int(LayerUnpacker.largeFileSize) + Int.random(in: -1...1, using: &random))))
                paths.append(path)
            case 3:
                members.append(.file(path, []))
                paths.append(path)
            default:
                members.append(.file(path, random.bytes(Int.random(in: 1...60_000, using: &random))))
                paths.append(path)
            }
        }
        return members
    }

    @Test(arguments: Packing.allCases)
    func aStreamedLayerEqualsItsArchive(packing: Packing) async throws {
        var random = SeededGenerator.named("aStreamedLayerEqualsItsArchive \(packing)")
        for _ in 0..<3 {
            let members = Self.members(&random)
            try await Bench().run { bench in
                try bench.add([try await packing.pack(members.tar)])
                let tree = ContentTree(layer: try await bench.library.tree(of: try await bench.image().layers[0]))
                for member in members where member.kind == .file {
                    #expect(try await tree.content(member.name) == member.content)
                }
                for member in members where member.kind == .hardLink {
                    let link = try #require(tree.view.find(member.name))
                    #expect(tree.view.find(member.target).map { tree.view.canonical($0) } == tree.view.canonical(link))
                }
                #expect(tree.isComplete)
                #expect(tree.layers[0].storedBytes.here == tree.layers[0].storedBytes.total)
                #expect(bench.store.hasBlob(tree.layers[0].layer.descriptor.digest))
                #expect(try bench.files("tmp").filter { !$0.hasSuffix(".lock") } == [])
            }
        }
    }

    @Test func aSecondPassMakesTheSameSpans() async throws {
        var random = SeededGenerator.named("aSecondPassMakesTheSameSpans")
        let layer = try await LayerFixture.gzip(Self.members(&random) + [.file("last", random.bytes(9 << 20))])
        func made(_ bench: Bench) async throws -> [String: [UInt8]] {
            _ = try await bench.library.tree(of: try await bench.image().layers[0])
            var files: [String: [UInt8]] = [:]
            for name in try bench.files("spans", "files") { files[name] = try bench.directory.directory().open("\(bench.store.path.split(separator: "/").last ?? "")/\(name)", 0).readAll(limit: 1 << 30) }
            return files
        }
        try await Bench().run { bench in
            try bench.add([layer])
            let first = try await made(bench)
            #expect(!first.isEmpty)
            let second = try await Bench(sharing: bench, storeName: "other").run { try await made($0) }
            #expect(second == first)
        }
    }

    @Test func contentThatIsLostComesBackOnReading() async throws {
        var random = SeededGenerator(seed: 3)
        let small = random.bytes(5000)
        let large = random.bytes(5 << 20)
        try await Bench().run { bench in
            try bench.add([.plain([.file("small", small), .file("large", large)])])
            let tree = ContentTree(layer: try await bench.library.tree(of: try await bench.image().layers[0]))
            let whole = tree.layers[0].storedBytes.total
            for folder in ["spans", "files/sha256"] {
                for name in try bench.files(folder) { try bench.directory.directory().remove("store/\(name)") }
            }
            // A store that another process opens: nothing is cached here.
            try await Bench(sharing: bench).run { other in
                let tree = ContentTree(layer: try await other.library.tree(of: try await other.image().layers[0]))
                #expect(!tree.isComplete)
                #expect(tree.layers[0].storedBytes == (here: 0, total: whole))
                #expect(!other.library.status(of: try await other.image()).complete)
                #expect(try await tree.content("small") == small)
                #expect(try await tree.content("large") == large)
                #expect(tree.isComplete)
            }
            #expect(try await tree.content("large") == large)
        }
    }

    @Test func manyReadersOfLostContentBringItBackOnce() async throws {
        // One zstd frame, which cannot be read from its middle: only another stream brings anything back.
        let layer = try await LayerFixture.zstd(tar: [TarMember.file("large", SeededGenerator(seed: 6).copyBytes(LayerUnpacker.spanLimit + (5 << 20)))].tar)
        try await Bench().run { bench in
            try bench.add([layer])
            _ = try await bench.library.tree(of: try await bench.image().layers[0])
            for name in try bench.files("spans", "files/sha256") { try bench.directory.directory().remove("store/\(name)") }
            try await Bench(sharing: bench).run { other in
                let tree = ContentTree(layer: try await other.library.tree(of: try await other.image().layers[0]))
                #expect(!tree.layers[0].servesSpans)
                let file = try #require(tree.view.find(Array("large".utf8)))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<50 { group.addTask { try await tree.fetch(file, at: 0, count: 1) } }
                    try await group.waitForAll()
                }
                #expect(tree.hasObject(file))
                #expect(other.streamCount == 1)
            }
        }
    }

    @Test func anObjectThatWasCutShortIsAnErrorUntilItIsRepaired() async throws {
        let large = SeededGenerator(seed: 7).copyBytes(4 << 20)
        try await Bench().run { bench in
            try bench.add([.plain([.file("large", large)])])
            let tree = ContentTree(layer: try await bench.library.tree(of: try await bench.image().layers[0]))
            let name = "store/" + (try #require(try bench.files("files/sha256").first))
            try bench.directory.directory().remove(name)
            try bench.directory.write(name, large.prefix(1000))
            await #expect { try await tree.content("large") } throws: { if case ImageError.cutShort = $0 { true } else { false } }
            // Another process repairs it; nothing of the damaged file is held on to.
            try bench.directory.directory().remove(name)
            try bench.directory.write(name, large)
            #expect(try await tree.content("large") == large)
        }
    }

    @Test func sparseFilesReadAsTheyShould() async throws {
        let directory = try TemporaryDirectory()
        try await Shell.check("sh", ["-ec", """
            cd '\(directory.path)'; mkdir t
            truncate -s 5000000 t/sparse; printf head | dd of=t/sparse conv=notrunc status=none
            printf middle | dd of=t/sparse bs=1 seek=3000000 conv=notrunc status=none
            truncate -s 100 t/hole
            tar --sparse --format=posix -cf l.tar -C t .
            """])
        let tar = try #require(try directory.directory().open("l.tar", 0).readAll(limit: 1 << 24))
        let wanted = try #require(try directory.directory().open("t/sparse", 0).readAll(limit: 1 << 24))
        #expect(tar.count < 1_000_000)
        try await Bench().run { bench in
            try bench.add([.plain(tar: tar)])
            let tree = ContentTree(layer: try await bench.library.tree(of: try await bench.image().layers[0]))
            #expect(try await tree.content("sparse") == wanted)
            #expect(try await tree.content("hole") == [UInt8](repeating: 0, count: 100))
        }
    }

    @Test func aWrongDiffIDPublishesNoIndex() async throws {
        try await Bench().run { bench in
            let layer = LayerFixture.plain([.file("a", "x")])
            try bench.add([layer], diffIDs: [Digest(of: [1])])
            let claimed = try await bench.image().layers[0]
            await #expect { try await bench.library.tree(of: claimed) } throws: { error in
                if case ImageError.wrongDigest(let what, Digest(of: [1]), layer.diffID) = error { what.contains("\(layer.digest)") } else { false }
            }
            #expect(!bench.store.hasTree(layer.digest))
            // The liar spoils the layer for nobody else.
            try bench.add([layer], to: "honest")
            let tree = ContentTree(layer: try await bench.library.tree(of: try await bench.image("honest:1").layers[0]))
            #expect(try await tree.content("a") == Array("x".utf8))
            await #expect(throws: ImageError.self) { try await bench.library.tree(of: claimed) }
        }
    }

    @Test(arguments: ["truncated", "hostile", "garbage"])
    func layersThatCannotBeUnpackedAreErrorsThatNameThem(how: String) async throws {
        var layer = try await LayerFixture.gzip([.file("a", SeededGenerator(seed: 9).copyBytes(100_000)), .file("b", "x")])
        switch how {
        case "truncated": layer.blob.removeLast(layer.blob.count / 2)
        case "hostile": layer = .plain([.symlink("etc", to: "/etc"), .file("etc/passwd", "x")])
        default: layer.blob = Array("no archive at all".utf8)
        }
        try await Bench().run { bench in
            try bench.add([layer])
            let digest = layer.digest
            await #expect { try await bench.library.tree(of: try await bench.image().layers[0]) } throws: { "\($0)".contains("\(digest)") }
            #expect(try bench.files("trees").filter { $0.hasSuffix(".index") } == [])
            #expect(bench.library.streams[digest] == nil)
        }
    }

    @Test func twoProcessesUnpackALayerOnce() async throws {
        var random = SeededGenerator(seed: 4)
        let layer = try await LayerFixture.gzip((0..<40).map { .file("f\($0)", random.bytes(100_000)) })
        try await Bench().run { bench in
            try bench.add([layer])
            try await Bench(sharing: bench).run { other in
                let one = try await bench.image().layers[0]
                let two = try await other.image().layers[0]
                async let first = bench.library.tree(of: one)
                async let second = other.library.tree(of: two)
                let trees = try await [first, second]
                // Who came second found the index and streamed nothing.
                #expect(bench.streamCount + other.streamCount == 1)
                #expect(trees.map(\.isComplete) == [true, true])
                #expect(trees[0].view.nodeCount == trees[1].view.nodeCount)
            }
        }
    }
}

extension SeededGenerator {
    func copyBytes(_ count: Int) -> [UInt8] {
        var copy = self
        return copy.bytes(count)
    }
}
