import ArgumentParser
import Images
import OCI
import Store

struct PinResult: Encodable {
    let reference: String
    let pinned: Bool
    let changed: Bool
}

extension ImageCommand {
    struct Pin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep images, whatever the store's limits are.",
            discussion: "The pin is on the name, whatever it will mean later. It fetches nothing: `larder pull` does. Resolves what is not known."
        )

        @Argument(help: ArgumentHelp("Images.", valueName: "ref"))
        var references: [String]

        @OptionGroup var output: OutputOptions
        @OptionGroup var images: ImageOptions

        func run() async throws {
            let settings = try images.settings()
            let references = try references.map { try settings.reference($0) }
            try await settings.withLibrary(create: true) { library in
                try await Terminal.each(references, asJSON: output.json) { reference in
                    if try library.store.storedImage(reference) == nil { _ = try await library.image(reference) }
                    let changed = try library.store.setPinned(reference, true) ?? false
                    let result = PinResult(reference: "\(reference)", pinned: true, changed: changed)
                    return (result, "\(reference): \(changed ? "pinned" : "was pinned already")")
                }
            }
        }
    }

    struct Unpin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let the store's limits decide about images again.")

        @Argument(help: ArgumentHelp("Images.", valueName: "ref"))
        var references: [String]

        @OptionGroup var output: OutputOptions
        @OptionGroup var store: StoreOptions

        func run() async throws {
            let settings = try Settings(store: store)
            let references = try references.map { try settings.reference($0) }
            let store = try settings.openStore(create: false)
            try await Terminal.each(references, asJSON: output.json) { reference in
                guard let changed = try store.setPinned(reference, false) else { throw ImageError.unknownReference(reference) }
                let result = PinResult(reference: "\(reference)", pinned: false, changed: changed)
                return (result, "\(reference): \(changed ? "no longer pinned" : "was not pinned")")
            }
        }
    }
}
