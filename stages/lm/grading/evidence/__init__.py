"""What is looked at without running any code of a submission: trained weights, sweeps, claims."""
