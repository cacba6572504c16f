import OCI
import Remote
import Store
import TestSupport
import Testing
@testable import Images

/// From a reference to an image: what is asked of the source, what of the store, and what is refused.
@Suite struct ResolveTests {
    private let layer = LayerFixture.plain([.file("a", "one")])

    @Test func tagsAndDigestsLeadToTheSameImage() async throws {
        try await Bench().run { bench in
            let manifest = try bench.add([layer])
            let byTag = try await bench.image()
            let byDigest = try await bench.image("app@\(manifest.digest)")
            #expect(byTag.manifestDescriptor.digest == manifest.digest)
            #expect(byDigest.manifestDescriptor.digest == manifest.digest)
            #expect(byTag.layers.map(\.diffID) == [layer.diffID])
            #expect(byTag.indexBytes == nil)
            #expect(try bench.library.references().count == 2)
        }
    }

    @Test func anIndexGivesThePlatformThatIsWanted() async throws {
        try await Bench { $0.platform = Platform(os: "linux", architecture: "arm64") }.run { bench in
            let layout = try bench.layout()
            let wanted = try layout.add([layer], platform: Platform(os: "linux", architecture: "arm64"))
            let other = try layout.add([.plain([.file("b", "two")])], platform: Platform(os: "linux", architecture: "s390x"))
            let index = try layout.add(index: [other, wanted])
            try layout.tag(index, "1")
            let image = try await bench.image()
            #expect(image.manifestDescriptor.digest == wanted.digest)
            #expect(image.top.digest == index.digest)
            #expect(image.indexBytes.map { Digest(of: $0) } == index.digest)
        }
    }

    @Test func aPlatformThatIsNotOfferedIsNamedWithThoseThatAre() async throws {
        try await Bench { $0.platform = Platform(os: "linux", architecture: "riscv64") }.run { bench in
            let layout = try bench.layout()
            let only = try layout.add([layer], platform: Platform(os: "linux", architecture: "s390x"))
            let second = try layout.add([layer], platform: Platform(os: "linux", architecture: "arm64"), note: "second")
            try layout.tag(try layout.add(index: [only, second]), "1")
            await #expect {
                try await bench.image()
            } throws: { error in
                let text = "\(error)"
                return text.contains("riscv64") && text.contains("linux/s390x") && text.contains("linux/arm64")
            }
        }
    }

    @Test func aTagIsBelievedForItsLifetimeAndNotLonger() async throws {
        try await Bench { $0.tagLifetime = .seconds(3600) }.run { bench in
            let first = try bench.add([layer])
            #expect(try await bench.image().manifestDescriptor.digest == first.digest)
            let second = try bench.add([.plain([.file("a", "two")])])
            #expect(try await bench.image().manifestDescriptor.digest == first.digest)
            #expect(try await bench.image(refresh: true).manifestDescriptor.digest == second.digest)
            #expect(try await bench.image().manifestDescriptor.digest == second.digest)
        }
        try await Bench { $0.tagLifetime = .zero }.run { bench in
            let first = try bench.add([layer])
            #expect(try await bench.image().manifestDescriptor.digest == first.digest)
            let second = try bench.add([.plain([.file("a", "two")])])
            #expect(try await bench.image().manifestDescriptor.digest == second.digest)
        }
    }

    @Test func aKnownImageServesWithoutItsSource() async throws {
        try await Bench { $0.tagLifetime = .zero }.run { bench in
            let manifest = try bench.add([layer])
            _ = try await bench.image()
            try bench.loseSource()
            #expect(try await bench.image().manifestDescriptor.digest == manifest.digest)
            // So in a process that has never seen it.
            try await Bench(sharing: bench) { $0.tagLifetime = .zero }.run { other in
                let known = try await other.image()
                #expect(known.manifestDescriptor.digest == manifest.digest)
                await #expect(throws: RemoteError.self) { try await other.image("app:2") }
            }
        }
    }

    @Test func aRefreshThatFailsLeavesTheKnownImageReadable() async throws {
        try await Bench { $0.tagLifetime = .zero; $0.absenceLifetime = .seconds(3600) }.run { bench in
            let manifest = try bench.add([layer])
            _ = try await bench.image()
            try bench.loseSource()
            await #expect(throws: RemoteError.self) { try await bench.image(refresh: true) }
            #expect(try await bench.image().manifestDescriptor.digest == manifest.digest)
        }
    }

    @Test func absenceIsBelievedForItsLifetime() async throws {
        try await Bench { $0.absenceLifetime = .seconds(3600) }.run { bench in
            try bench.add([layer])
            await #expect(throws: RemoteError.self) { try await bench.image("app:2") }
            try bench.add([layer], tag: "2")
            await #expect(throws: RemoteError.self) { try await bench.image("app:2") }
            #expect(try await bench.image("app:2", refresh: true).layers.count == 1)
            #expect(try await bench.image("app:2").layers.count == 1)
        }
        try await Bench { $0.absenceLifetime = .zero }.run { bench in
            try bench.add([layer])
            await #expect(throws: RemoteError.self) { try await bench.image("app:2") }
            try bench.add([layer], tag: "2")
            #expect(try await bench.image("app:2").layers.count == 1)
        }
    }

    @Test func manifestsAndConfigsThatContradictEachOtherAreRefused() async throws {
        try await Bench().run { bench in
            try bench.add([layer], diffIDs: [])
            try bench.add([layer], to: "more", diffIDs: [layer.diffID, layer.diffID])
            for name in ["app:1", "more:1"] {
                await #expect {
                    try await bench.image(name)
                } throws: { error in
                    if case ImageError.inconsistent(let reference, _) = error { reference.description.hasSuffix(name) } else { false }
                }
            }
            #expect(try bench.library.references().isEmpty)
        }
    }

    @Test func moreLayersThanAnyImageHasAreRefused() async throws {
        try await Bench().run { bench in
            try bench.add(Array(repeating: layer, count: ImageManifest.layerLimit + 1))
            await #expect { try await bench.image() } throws: { if case ImageError.badDocument = $0 { true } else { false } }
            try bench.add(Array(repeating: layer, count: ImageManifest.layerLimit), tag: "2")
            #expect(try await bench.image("app:2").layers.count == ImageManifest.layerLimit)
        }
    }

    @Test func aDocumentThatIsTooLargeIsNotFetched() async throws {
        try await Bench().run { bench in
            let layout = try bench.layout()
            var config = try layout.add(blob: Array("{}".utf8), MediaType.config)
            config.size = UInt64(ManifestDocument.sizeLimit) + 1
            try layout.tag(try layout.add(manifest: config, []), "1")
            await #expect { try await bench.image() } throws: { error in
                if case ImageError.badDocument(let what, .tooLarge) = error { what.contains("\(config.digest)") } else { false }
            }
        }
    }

    @Test func otherThingsThanImagesAreRefusedByTheirMediaType() async throws {
        try await Bench().run { bench in
            var odd = layer
            odd.mediaType = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
            try bench.add([odd])
            await #expect { try await bench.image() } throws: { "\($0)".contains("helm") }
        }
    }

    @Test func sameManifestUnderTwoNamesIsTwoKnownImages() async throws {
        try await Bench().run { bench in
            try bench.add([layer])
            try bench.add([layer], to: "copy", tag: "9")
            _ = try await bench.image()
            _ = try await bench.image("copy:9")
            let known = try await bench.library.knownImages().map(\.reference.description).sorted()
            #expect(known == ["\(Bench.host)/app:1", "\(Bench.host)/copy:9"])
        }
    }
}
