import OCI
import Store
import TestSupport
import Testing
@testable import Images
@testable import VirtualFS

/// A tree that was made of an index from a registry, after that has turned out to lie.
@Suite struct OutlivedTreeTests {
    private static let rootfs = "images/\(Mount.host)/team/app:1/rootfs"

    /// A new store beside a registry that has an index of the image.
    private func reader(_ members: [TarMember]) async throws -> Mount {
        let adjust: (inout ImageLibrary.Options) -> Void = { $0.smallestIndexedLayer = 0 }
        let maker = try Mount(adjust)
        try maker.add([try await LayerFixture.gzip(members)])
        try await maker.run { maker in
            let image = try await maker.library.image(try #require(Reference("\(Mount.host)/team/app:1")))
            _ = try await maker.library.pushIndexes(of: image, as: .larder, profile: false)
        }
        try maker.directory.directory().removeTree("store")
        return try Mount(sharing: maker, adjust)
    }

    /// Be it that another process with the same store has found out.
    @Test func anotherLookShowsAnotherTree() async throws {
        var random = SeededGenerator(seed: 5)
        let members = (0..<5).map { TarMember.file("f\($0)", random.bytes(900_000)) }
        try await reader(members).run { mount in
            let content = { (path: String) in try await mount.content(try await mount.find(path).attributes.node) }
            #expect(try await content("\(Self.rootfs)/f0") == members[0].content)
            let old = try await mount.find(Self.rootfs), oldFile = try await mount.find("\(Self.rootfs)/f1")
            #expect(old.nameLifetime == 1, "the kernel asks again whose tree this is")
            #expect(try await mount.find(Self.rootfs).attributes.node == old.attributes.node)
            let image = try await mount.library.image(try #require(Reference("\(Mount.host)/team/app:1")))
            let lying = try await mount.library.snapshot(of: image).layers[0]
            #expect(lying.indexSource == .registry)

            try mount.store.refuseTree(lying.contentKey, reason: "for a test")
            try mount.store.remove(.tree(lying.contentKey))
            try mount.store.remove(.tree(AdoptedIndex.slot(of: lying.layer)))

            let new = try await mount.find(Self.rootfs)
            #expect(new.attributes.node != old.attributes.node)
            for member in members { #expect(try await content("\(Self.rootfs)/\(String(decoding: member.name, as: UTF8.self))") == member.content) }
            #expect(try await mount.find(Self.rootfs).attributes.node == new.attributes.node, "and no other one from then on")
            #expect(try await mount.find(Self.rootfs).nameLifetime == .infinity, "it is proven")
            let listed = try await mount.list(try await mount.find("images/\(Mount.host)/team/app:1").attributes.node)
            #expect(listed.first { $0.name == Array("rootfs".utf8) }?.node == new.attributes.node)
            // What somebody has open is what it was.
            #expect(try await mount.attributes(oldFile.attributes.node).attributes.size == 900_000)
        }
    }
}
