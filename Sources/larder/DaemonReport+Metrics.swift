import Images
import Store
import VirtualFS

extension DaemonReport {
    /// What `metrics` at the mount point says. The figures of one name stand together, as the format wants them.
    func metrics() -> [Metric] {
        process + network + fetching + storage + leases + session.counters.map { name, count in
            Metric("larder_fuse_requests_total", "Requests from the kernel, by operation.", labels: [("operation", name)], value: Double(count))
        }
    }

    private var process: [Metric] {
        [
            Metric("larder_build_info", "The version that runs.", .gauge, labels: [("version", Version.current)], value: 1),
            Metric("larder_start_time_seconds", "When the daemon was started, in seconds since the epoch.", .gauge, value: Double(started)),
            Metric("larder_resident_bytes", "Resident memory of the daemon.", .gauge, value: Double(Self.residentBytes)),
        ]
    }

    private var network: [Metric] {
        let network = library.networkCounters
        return [
            Metric("larder_registry_requests_total", "HTTP requests sent to registries.", value: Double(network.requests)),
            Metric("larder_registry_received_bytes_total", "Bytes received from registries.", value: Double(network.bytesReceived)),
            Metric("larder_registry_retries_total", "Requests that had to be repeated.", value: Double(network.retries)),
            Metric("larder_registry_failures_total", "Requests that failed for good.", value: Double(network.failures)),
        ]
    }

    /// Every cause and source is there from the start, so that a rate can be taken of each.
    private var fetching: [Metric] {
        let fetches = library.fetchCounters
        let sources = library.indexSources
        return FetchCause.allCases.map {
            Metric("larder_fetch_requests_total", "Requests for content of layers, by cause.", labels: [("cause", $0.name)], value: Double(fetches[$0].requests))
        } + FetchCause.allCases.map {
            Metric("larder_fetch_bytes_total", "Compressed bytes of layers that came, by cause.", labels: [("cause", $0.name)], value: Double(fetches[$0].bytes))
        } + [
            Metric("larder_fetch_memory_bytes", "Content that was fetched and is not on disk yet.", .gauge, value: Double(fetches.bytesInMemory)),
            Metric("larder_waiting_readers", "Readers that wait for content.", .gauge, value: Double(fetches.waitingReaders)),
            Metric("larder_read_hits_total", "Reads of image files that were answered at once. What the kernel has cached or reads itself is not seen.", value: Double(reads.hits)),
            Metric("larder_read_misses_total", "Reads of image files that had to wait for content.", value: Double(reads.misses)),
        ] + [IndexSource.stream, .tableOfContents, .registry, .soci].map {
            Metric("larder_layers_open", "Layers in use, by where their index is from.", .gauge, labels: [("index", $0.rawValue)], value: Double(sources[$0] ?? 0))
        }
    }

    private var storage: [Metric] {
        let store = library.store
        let evictions = store.evictions
        var metrics = [
            Metric("larder_store_free_bytes", "Free space on the disk of the store.", .gauge, value: Double(store.freeSpace)),
            Metric("larder_evictions_total", "Files that this daemon has evicted from the store.", value: Double(evictions.files)),
            Metric("larder_evicted_bytes_total", "Bytes of disk that they took.", value: Double(evictions.bytes)),
        ]
        if let totals = store.accountedTotals {
            metrics += StoredKind.allCases.map {
                Metric("larder_store_bytes", "Bytes of disk that the store takes, by kind.", .gauge, labels: [("kind", $0.rawValue)], value: Double(totals[$0]))
            }
        }
        if let limit = limit(\.maxSize) { metrics.append(Metric("larder_store_limit_bytes", "The most that the store may take.", .gauge, value: Double(limit))) }
        return metrics
    }

    private var leases: [Metric] {
        var metrics: [Metric] = []
        if let held = try? caches.library.leases() {
            metrics.append(Metric("larder_leases", "Leases on caches, whoever holds them.", .gauge, value: Double(held.count)))
        }
        metrics.append(Metric("larder_path_leases", "Caches held for changes that came by path.", .gauge, value: Double(caches.heldCount)))
        return metrics
    }
}
