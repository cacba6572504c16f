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

        @Flag(name: .long, help: "Print JSON.")
        var json = false

        @OptionGroup var remote: RemoteOptions
        @OptionGroup var store: StoreOptions

        func run() async throws {
            let settings = try Settings(store: store, remote: remote)
            let references = try references.map { try settings.reference($0) }
            try await settings.withLibrary(create: true) { library in
                var results: [PinResult] = []
                for reference in references {
                    if try library.store.storedImage(reference) == nil { _ = try await library.image(reference) }
                    let changed = try library.store.setPinned(reference, true) ?? false
                    results.append(PinResult(reference: "\(reference)", pinned: true, changed: changed))
                    if !json { Terminal.output("\(reference): \(changed ? "pinned" : "was pinned already")") }
                }
                if json { try Terminal.json(results) }
            }
        }
    }

    struct Unpin: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let the store's limits decide about images again.")

        @Argument(help: ArgumentHelp("Images.", valueName: "ref"))
        var references: [String]

        @Flag(name: .long, help: "Print JSON.")
        var json = false

        @OptionGroup var store: StoreOptions

        func run() throws {
            let settings = try Settings(store: store)
            let references = try references.map { try settings.reference($0) }
            let store = try settings.openStore(create: false)
            var results: [PinResult] = []
            for reference in references {
                guard let changed = try store.setPinned(reference, false) else { throw ImageError.unknownReference(reference) }
                results.append(PinResult(reference: "\(reference)", pinned: false, changed: changed))
                if !json { Terminal.output("\(reference): \(changed ? "no longer pinned" : "was not pinned")") }
            }
            if json { try Terminal.json(results) }
        }
    }
}
