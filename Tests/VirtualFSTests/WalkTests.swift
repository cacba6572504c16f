import Glibc
import Images
import OCI
import Store
import TestSupport
import Testing
@testable import VirtualFS

/// The tree as a kernel would see it.
@Suite struct WalkTests {
    private let path = "images/\(Mount.host)/team/app:1"

    @Test func theRootHasWhatTheReadmeSays() async throws {
        try await Mount().run { mount in
            #expect(try await mount.names("").sorted() == ["README.txt", "blobs", "caches", "images", "layers", "leases", "metrics", "snapshots", "status.json"])
            let readme = try await mount.find("README.txt")
            #expect(try await mount.text("README.txt").utf8.count == Int(readme.attributes.size))
            #expect(try await mount.text("status.json") == "{\"up\":true}\n")
            #expect(try await mount.text("metrics") == "# HELP larder_test A figure.\n# TYPE larder_test gauge\nlarder_test{kind=\"a\\\"b\"} 2\n")
            #expect(try await mount.find("nothing").isAbsent)
            #expect(try await mount.names("images") == [])
        }
    }

    @Test func anImagesTreeIsTheMergeOfItsLayers() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            let root = path + "/rootfs"
            #expect(try await mount.text(root + "/etc/name") == "base")
            #expect(try await mount.text(root + "/hard") == "base")
            #expect(try await mount.find(root + "/etc/gone").isAbsent)
            #expect(try await mount.names(root + "/opaque") == ["high"])
            let link = try await mount.find(root + "/etc/link")
            #expect(link.attributes.mode == 0o120777)
            #expect(try await mount.readLink(link.attributes.node) == Array("name".utf8))
            let name = try await mount.find(root + "/etc/name")
            #expect(name.attributes.node == (try await mount.find(root + "/hard").attributes.node))
            #expect(name.attributes.linkCount == 2)
            #expect(try await mount.find(root + "/etc").attributes.mode == 0o040700)
            #expect(try await mount.find(root + "/set").attributes.mode == 0o104755)
            #expect(name.attributes.modifiedSeconds == 1_600_000_000)
            let bytes = try await mount.lookup(try await mount.find(root).attributes.node, Array("by".utf8) + [0xff, 0x0a, 0xfe])
            #expect(try await mount.content(bytes.attributes.node) == Array("tes".utf8))
            #expect(try await mount.names(root).count == 7)
        }
    }

    @Test func lookingAtADirectoryFetchesNothing() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            #expect(try await mount.names(path).sorted() == ["config.json", "layers", "manifest.json", "rootfs", "status.json"])
            #expect(try await mount.find(path + "/rootfs").attributes.mode == 0o040755)
            #expect(try await mount.names("layers/sha256").count == 2)
            for name in try await mount.names("layers/sha256") { _ = try await mount.find("layers/sha256/" + name) }
            #expect(try Shell.files(below: mount.store.path + "/trees").filter { $0.hasSuffix(".index") } == [])
        }
    }

    @Test func documentsAreTheirOwnBytes() async throws {
        try await Mount().run { mount in
            let manifest = try mount.addSample()
            for (name, digest) in [("manifest.json", manifest.digest), ("config.json", try await mount.library.image(try #require(Reference("\(Mount.host)/team/app:1"))).manifest.config.digest)] {
                let entry = try await mount.find("\(path)/\(name)")
                let bytes = try await mount.content(entry.attributes.node, block: 7)
                #expect(Digest(of: bytes) == digest)
                #expect(entry.attributes.size == UInt64(bytes.count))
                #expect(try await mount.content(try await mount.find("blobs/sha256/\(digest.hex)").attributes.node) == bytes)
            }
            #expect(try await mount.find(path + "/index.json").isAbsent)
            #expect(try await mount.text(path + "/status.json").contains("\"complete\" : false"))
        }
    }

    @Test func layerLinksLeadToTheirLayers() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            #expect(try await mount.names(path + "/layers").sorted() == ["0", "1"])
            for (number, file) in [(0, "hard"), (1, "large")] {
                let link = try await mount.find("\(path)/layers/\(number)")
                let target = String(decoding: try await mount.readLink(link.attributes.node), as: UTF8.self)
                #expect(UInt64(target.utf8.count) == link.attributes.size)
                // Up from the directory that the link is in.
                var place = (path + "/layers").split(separator: "/").map(String.init)
                for part in target.split(separator: "/").map(String.init) {
                    if part == ".." { place.removeLast() } else { place.append(part) }
                }
                #expect(try await !mount.find(place.joined(separator: "/") + "/" + file).isAbsent)
            }
            for wrong in ["2", "-1", "00", "01", "x", ""] where !wrong.isEmpty { #expect(try await mount.find("\(path)/layers/\(wrong)").isAbsent) }
        }
    }

    @Test func aLayersOwnTreeShowsWhiteoutsAsOverlayfsDoes() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            let image = try await mount.library.image(try #require(Reference("\(Mount.host)/team/app:1")))
            let root = "layers/sha256/" + image.layers[1].descriptor.digest.hex
            let whiteout = try await mount.find(root + "/etc/gone")
            #expect(whiteout.attributes.mode & 0o170000 == 0o020000)
            #expect(whiteout.attributes.deviceMajor == 0 && whiteout.attributes.deviceMinor == 0)
            let opaque = try await mount.find(root + "/opaque").attributes.node
            #expect(try mount.attribute(opaque, "trusted.overlay.opaque") == "y")
            #expect(try mount.attributeNames(opaque) == ["trusted.overlay.opaque"])
        }
    }

    @Test func snapshotsAreFoundByTheirChainIDs() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            let image = try await mount.library.image(try #require(Reference("\(Mount.host)/team/app:1")))
            #expect(try await mount.names("snapshots/sha256").sorted() == image.chain.map(\.hex).sorted())
            #expect(try await mount.text("snapshots/sha256/\(image.chain[0].hex)/etc/gone") == "x")
            #expect(try await mount.find("snapshots/sha256/\(image.chain[1].hex)/etc/gone").isAbsent)
            #expect(try await mount.find("snapshots/sha256/\(Digest(of: [1]).hex)").isAbsent)
        }
    }

    @Test func aLiarsLayerDoesNotHideTheLayerFromOthers() async throws {
        try await Mount().run { mount in
            let layer = LayerFixture.plain([.file("a", "x")])
            var lie = layer
            lie.diffID = Digest(of: [3])
            try mount.add([lie], to: "liar")
            try mount.add([layer], to: "honest")
            _ = try await mount.find("images/\(Mount.host)/liar:1")
            _ = try await mount.find("images/\(Mount.host)/honest:1")
            #expect(try await mount.text("layers/sha256/\(layer.digest.hex)/a") == "x")
        }
    }

    @Test func namesThatCanBeNoImageAreAbsentWithoutAsking() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            for name in ["typo", "UPPER", ".hidden", "a b", "a..b/c", String(repeating: "x", count: 255)] { #expect(try await mount.find("images/" + name).isAbsent, "\(name)") }
            #expect(try await !mount.find("images/registry.example").isAbsent)
            #expect(try await mount.find("images/\(Mount.host)/team/Upper").isAbsent)
            #expect(try await mount.find("images/\(Mount.host)/team/app:").isAbsent)
            #expect(try await mount.find("images/\(Mount.host)/team/app@sha256:12").isAbsent)
            let absent = try await mount.find("images/\(Mount.host)/team/app:none")
            #expect(absent.isAbsent && absent.nameLifetime == mount.library.options.absenceLifetime.inSeconds)
            let host = try await mount.find("images/\(Mount.host)").attributes.node
            #expect(try await mount.lookup(host, [0xff, 0xfe]).isAbsent)
            #expect(try await mount.lookup(host, [0x61, 0xff, 0x3a, 0x31]).isAbsent)
        }
    }

    @Test func aTagThatMovesIsAnotherNode() async throws {
        try await Mount { $0.tagLifetime = .zero }.run { mount in
            try mount.add([.plain([.file("a", "one")])])
            let first = try await mount.find(path)
            #expect(try await mount.text(path + "/rootfs/a") == "one")
            let old = try await mount.find(path + "/rootfs/a").attributes.node
            try mount.add([.plain([.file("a", "two")])])
            #expect(try await mount.find(path).attributes.node != first.attributes.node)
            #expect(try await mount.text(path + "/rootfs/a") == "two")
            #expect(try await mount.content(old) == Array("one".utf8))
        }
    }

    @Test func blocksTellWhatIsHere() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            let file = path + "/rootfs/large"
            let before = try await mount.find(file)
            #expect(before.attributes.blocks == 0 && before.attributes.size == (1 << 20) + 5)
            #expect(before.attributeLifetime < .infinity)
            #expect(try mount.attribute(before.attributes.node, "user.larder.source") == "layout:\(Mount.host)/team/app")
            _ = try await mount.read(before.attributes.node, handle: 0, at: 0, count: 10)
            let between = try await mount.find(file).attributes.blocks
            #expect(between > 0 && between < ((1 << 20) + 5 + 511) / 512)
            #expect(try await !mount.open(before.attributes.node).complete)
            _ = try await mount.content(before.attributes.node)
            #expect(try await mount.find(file).attributes.blocks == ((1 << 20) + 5 + 511) / 512)
            #expect(try mount.attribute(before.attributes.node, "user.larder.source") == "local")
            // Now it is one file, for the kernel to read alone, as soon as the last of it is on disk.
            await mount.library.settle()
            #expect(try await mount.open(before.attributes.node).complete)
            let size = try mount.fileSystem.withBacking(before.attributes.node) { raw in
                var status = stat()
                return fstat(raw, &status) == 0 ? Int32(status.st_size) : -1
            }
            #expect(size == Int32(1 << 20) + 5)
        }
    }

    @Test func nodesOfTreesKeepTheirNumbers() async throws {
        try await Mount().run { mount in
            _ = try mount.addSample()
            let first = try await mount.find(path + "/rootfs/etc/name").attributes.node
            try await Mount(sharing: mount).run { other in
                let second = try await other.find(path + "/rootfs/etc/name").attributes.node
                #expect(first == second)
            }
        }
    }
}
