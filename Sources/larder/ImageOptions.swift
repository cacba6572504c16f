import ArgumentParser
import Images

/// Options of the subcommands that look for images: in which store, and where else.
struct ImageOptions: ParsableArguments {
    @OptionGroup var remote: RemoteOptions
    @OptionGroup var store: StoreOptions

    func settings() throws -> Settings { try Settings(store: store, remote: remote) }

    /// For those that show progress: it says what a person wants to know, and the log keeps to what is wrong.
    func quietSettings() throws -> Settings {
        var settings = try settings()
        if store.logLevel == nil { settings.logLevel = .warning }
        return settings
    }

    /// - Parameter create: whether there may be no store yet.
    func withImage(_ reference: String, create: Bool, _ body: (ImageLibrary, Image) async throws -> Void) async throws {
        let settings = try settings()
        try await settings.withLibrary(create: create) { library in
            try await body(library, try await library.image(try settings.reference(reference)))
        }
    }
}
