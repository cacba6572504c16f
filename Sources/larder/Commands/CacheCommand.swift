import ArgumentParser

struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Make, look at, fill and clear caches by name.",
        discussion: """
            A cache is [NAMESPACE/]ID: a directory in the store, shown as caches/ID in a mount, and used by `larder run`,
            `mount -t larder cache:ID`, and by path. A slash in a name is written %2F in a path; both are understood here.
            """,
        subcommands: [
            CacheList.self, CacheCreate.self, CacheSet.self, CacheInspect.self, CacheRemove.self, CacheCopy.self, CacheUsage.self, CachePrune.self,
            CacheDiff.self, CachePresets.self,
        ],
        defaultSubcommand: CacheList.self
    )
}
