import Images
import LinuxIO
import OCI
import Store
import TestSupport
import Testing
@testable import VirtualFS

/// Listings, attributes and handles, the wrong ones too.
@Suite struct OperationTests {
    private let path = "images/\(Mount.host)/team/app:1"

    @Test func everyPageSizeListsTheSame() async throws {
        try await Mount().run { mount in
            try mount.add([.plain((0..<37).map { .file("f\($0)", "x") })])
            try mount.add([.plain([.file("a", "x")])], to: "team/other")
            _ = try await mount.find("images/\(Mount.host)/team/other:1")
            for directory in ["", "images", path, path + "/rootfs", path + "/layers", "layers/sha256", "blobs/sha256", "images/\(Mount.host)/team"] {
                let node = try await mount.find(directory).attributes.node
                let whole = try await mount.list(node)
                #expect(!whole.isEmpty, "\(directory)")
                #expect(Set(whole.map(\.name)).count == whole.count)
                for limit in 1...(whole.count + 1) {
                    for counting in [true, false] { #expect(try await mount.list(node, limit: limit, counting: counting).map(\.name) == whole.map(\.name), "\(directory) by \(limit)") }
                }
            }
        }
    }

    @Test func everyCountedLookupIsTakenBackByForget() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            var counted: [NodeID: UInt64] = [:]
            func look(_ node: NodeID, _ depth: Int) async throws {
                for limit in [1, 3, Int.max] {
                    for item in try await mount.list(node, limit: limit, counting: true) { counted[item.node, default: 0] += 1 }
                }
                for item in try await mount.list(node) {
                    let entry = try await mount.lookup(node, item.name)
                    #expect(!entry.isAbsent)
                    counted[entry.attributes.node, default: 0] += 1
                    if entry.attributes.mode & 0o170000 == 0o040000, depth > 0 { try await look(entry.attributes.node, depth - 1) }
                }
            }
            counted[try await mount.find(path).attributes.node, default: 0] += 1
            try await look(mount.fileSystem.root, 6)
            #expect(mount.fileSystem.synthetic.rememberedCount > 5)
            for (node, count) in counted { mount.fileSystem.forget(node, count: count) }
            // Twice looked up on the way here, and once more to name them.
            let team = try await mount.find("images/\(Mount.host)/team").attributes.node
            mount.fileSystem.forget(team, count: 2)
            let host = try await mount.find("images/\(Mount.host)").attributes.node
            #expect(mount.fileSystem.synthetic.rememberedCount == 1)
            mount.fileSystem.forget(host, count: 3)
            #expect(mount.fileSystem.synthetic.rememberedCount == 0)
        }
    }

    @Test func aForgottenNodeIsStale() async throws {
        try await Mount().run { mount in
            let node = try await mount.find("images/registry.example").attributes.node
            #expect(try await mount.attributes(node).attributes.node == node)
            mount.fileSystem.forget(node, count: 1)
            await #expect(throws: FSError.stale) { try await mount.attributes(node) }
            // Permanent nodes cannot be forgotten.
            mount.fileSystem.forget(mount.fileSystem.root, count: .max)
            #expect(try await mount.attributes(mount.fileSystem.root).attributes.mode == 0o040555)
        }
    }

    @Test func numbersOfSyntheticNodesBeginAgainAfterTheLast() {
        let table = SyntheticTable()
        let held = table.id(of: .repositories(path: "a.b"), counting: 1)
        table.skipOrdinals(to: .max)
        let last = table.id(of: .repositories(path: "c.d"), counting: 1)
        let next = table.id(of: .repositories(path: "e.f"), counting: 1)
        #expect(last.ordinal == .max)
        #expect(next.ordinal > UInt32(SyntheticNode.permanent.count) && next != held && next != last)
    }

    @Test func attributesAnswerByNameAndRange() async throws {
        try await Mount().run { mount in
            let manifest = try mount.addSample()
            let image = try await mount.find(path).attributes.node
            #expect(try mount.attributeNames(image) == ["user.larder.digest", "user.larder.source"])
            #expect(try mount.attribute(image, "user.larder.digest") == "\(manifest.digest)")
            let file = try await mount.find(path + "/rootfs/with").attributes.node
            #expect(try mount.attributeNames(file) == ["user.colour"])
            #expect(try mount.attribute(file, "user.colour") == "blue")
            #expect(try mount.attribute(file, "user.colour", limit: 0) == "4")
            #expect(throws: FSError.range) { try mount.attribute(file, "user.colour", limit: 3) }
            #expect(throws: FSError.noAttribute) { try mount.attribute(file, "user.color") }
            #expect(throws: FSError.noAttribute) { try mount.attribute(file, "user.larder.nonsense") }
            #expect(throws: FSError.range) { try mount.attribute(file, "user.larder.layer", limit: 5) }
            let layers = try await mount.library.image(try #require(Reference("\(Mount.host)/team/app:1"))).layers
            #expect(try mount.attribute(file, "user.larder.layer") == "\(layers[0].descriptor.digest)")
            _ = try await mount.content(file)
            #expect(try mount.attribute(file, "user.larder.digest") == "\(Digest(of: Array("attributes".utf8)))")
        }
    }

    @Test func nothingCanBeWritten() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            for name in ["README.txt", path + "/rootfs/with"] {
                let node = try await mount.find(name).attributes.node
                for flags in [Int32(1), 2, 0o1000] { await #expect(throws: FSError.readOnly) { try await mount.open(node, flags: flags) } }
            }
        }
    }

    @Test func operationsOnTheWrongKindAreErrors() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            let file = try await mount.find(path + "/rootfs/with").attributes.node
            let directory = try await mount.find(path + "/rootfs/etc").attributes.node
            await #expect(throws: FSError.notDirectory) { try await mount.list(file) }
            await #expect(throws: FSError.isDirectory) { try await mount.open(directory) }
            await #expect(throws: FSError.invalid) { try await mount.readLink(file) }
            #expect(try await mount.lookup(file, Array("x".utf8)).isAbsent)
            let readme = try await mount.find("README.txt").attributes.node
            await #expect(throws: FSError.notDirectory) { try await mount.list(readme) }
            await #expect(throws: FSError.notDirectory) { try await mount.lookup(readme, Array("x".utf8)) }
            await #expect(throws: FSError.isDirectory) { try await mount.open(mount.fileSystem.root) }
        }
    }

    /// Ids, handles and offsets from nowhere: an error or an answer, never a trap. In an opened tree and in one that is not.
    @Test(arguments: [true, false])
    func forgedNumbersAreStale(opened: Bool) async throws {
        var random = SeededGenerator.named("forgedNumbersAreStale \(opened)")
        try await Mount().run { mount in
            _ = try mount.addSample()
            var serials: [UInt32] = [0, 1, 2, 1 << 22, .max]
            serials.append(try await mount.find(path + "/rootfs").attributes.node.serial)
            for name in try await mount.names("layers/sha256") { serials.append(try await mount.find("layers/sha256/" + name).attributes.node.serial) }
            if opened { _ = try await mount.find(path + "/rootfs/etc/name") }
            for _ in 0..<1500 {
                let ordinal: UInt32 = switch Int.random(in: 0..<4, using: &random) {
                case 0: UInt32.random(in: 0...UInt32.max, using: &random)
                case 1: .max
                default: UInt32.random(in: 0..<40, using: &random)
                }
                let node = NodeID(serial: serials.randomElement(using: &random) ?? 0, ordinal: ordinal)
                let number: UInt64 = Bool.random(using: &random) ? UInt64.random(in: 0...9, using: &random) : UInt64.random(in: 0...UInt64.max, using: &random)
                let operation = Int.random(in: 0..<9, using: &random)
                do {
                    switch operation {
                    case 0: _ = try await mount.lookup(node, random.bytes(Int(number % 5)))
                    case 1: _ = try await mount.attributes(node)
                    case 2: _ = try await mount.readLink(node)
                    case 3: _ = try await mount.open(node)
                    case 4: _ = try await mount.read(node, handle: number, at: number, count: 1 + Int(number % 5000))
                    case 5: _ = try await mount.list(node)
                    case 6:
                        _ = try mount.fileSystem.readDirectory(node, from: number, wantsEntries: false) { _, _, _ in true }
                        _ = try await mount.fileSystem.coldReadDirectory(node, from: number, wantsEntries: false, limit: Int(number % 100))
                    case 7: _ = try mount.fileSystem.withBacking(node) { $0 }
                    default:
                        _ = try? mount.attributeNames(node)
                        _ = try mount.attribute(node, "user.larder.digest")
                        mount.fileSystem.release(node, handle: number)
                        mount.fileSystem.forget(node, count: number)
                    }
                } catch {
                    #expect(error is FSError, "operation \(operation) on \(node.serial):\(node.ordinal): \(error)")
                    #expect(error as? FSError != .io, "operation \(operation) on \(node.serial):\(node.ordinal)")
                }
            }
        }
    }
}
